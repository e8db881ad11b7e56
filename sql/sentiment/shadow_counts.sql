-- How often the champion of that time said this and the shadow that.
select champion, champion_says, shadow_says, count(*) as texts
from sentiment.shadow_scores
where place = %(place)s
group by champion, champion_says, shadow_says
order by champion, champion_says, shadow_says
