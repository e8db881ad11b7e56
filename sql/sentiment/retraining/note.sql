-- What is null stays as it is.
update sentiment.retrainings
set digest     = coalesce(%(digest)s, digest),
    frozen_at  = coalesce(%(frozen_at)s, frozen_at),
    split      = coalesce(%(split)s, split),
    challenger = coalesce(%(challenger)s, challenger),
    search     = coalesce(%(search)s, search),
    measured   = coalesce(%(measured)s, measured),
    gates      = case when %(gates)s::jsonb is null then gates else coalesce(gates, '{}') || %(gates)s::jsonb end
where run_id = %(run_id)s
