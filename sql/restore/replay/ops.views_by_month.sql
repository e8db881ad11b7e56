-- Views, likes and time watched by month and platform: every partition of post_metrics is read.
select date_trunc('month', m.day) as month, a.platform, count(*) as days, sum(m.views) as views,
       sum(m.likes) as likes, sum(m.watched) as watched
from ops.post_metrics m
join ops.posts p on p.id = m.post_id
join ops.accounts a on a.id = p.account_id
group by 1, 2
