-- What each account published, in which state, and when the last of it was: joins, enums, text and times.
select a.platform, a.handle, p.state, p.lang, count(*) as posts, sum(p.body_length) as characters,
       max(p.published_at) as last_published
from ops.posts p
join ops.accounts a on a.id = p.account_id
group by a.platform, a.handle, p.state, p.lang
