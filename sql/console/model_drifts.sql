-- Of a run, or of the newest one that looked; what has drifted most first.
select run_id, feature, statistic, critical, n_before, n_recent, drifted
from sentiment.drifts
where run_id = coalesce(%(run_id)s::text, (
    select d.run_id
    from sentiment.drifts d
    join sentiment.retrainings r using (run_id)
    order by r.started_at desc, d.run_id desc
    limit 1))
order by drifted desc, statistic / nullif(critical, 0) desc nulls first, feature
