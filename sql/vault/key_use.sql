-- Which recipients' keys backups that hold something were encrypted to, the last used first.
select k.key_id, count(*)::integer as backups, min(b.started_at) as first, max(b.started_at) as last,
       max(c.until) as until
from vault.backups b
cross join lateral jsonb_array_elements_text(b.document #> '{encryption,key_ids}') k (key_id)
left join lateral (select max(retain_until) as until from vault.copies where backup_id = b.backup_id) c on true
where b.status not in ('staging', 'failed', 'abandoned') and b.expired_at is null
group by k.key_id
order by max(b.started_at) desc, k.key_id
