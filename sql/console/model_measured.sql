-- The newest run in which a version was measured, and as what.
select e.run_id, e.role, r.started_at
from sentiment.evaluations e
join sentiment.retrainings r using (run_id)
where %(version)s = case e.role when 'champion' then r.champion else r.challenger end
order by r.started_at desc, e.run_id desc
limit 1
