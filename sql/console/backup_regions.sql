-- How each region stands: its objects, the shortest lock, the oldest proof.
select region, count(*) as objects, count(*) filter (where state = 'verified') as verified,
       sum(size) as bytes, min(retain_until) as retain_until, min(read_back_at) as read_back_at,
       string_agg(distinct lock_mode, ', ') as lock_modes, min(error) as error
from vault.copies
where backup_id = %(backup_id)s
group by region
order by region
