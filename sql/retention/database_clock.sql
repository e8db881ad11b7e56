-- What time it is there.
select clock_timestamp() as now
