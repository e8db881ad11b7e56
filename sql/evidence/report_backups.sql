-- Every attempt whose snapshot (or beginning, where there is none) falls into the span, with its copies by region.
select b.backup_id, b.source, b.source_type, b.status, b.dag_id, b.run_id, b.started_at, b.snapshot_at, b.ended_at,
       b.manifest_sha256, b.error, b.decided_at, b.decided_by, b.decision_reason, b.generations, b.expired_at,
       b.document -> 'totals' as totals, b.document #> '{encryption,key_ids}' as encryption_keys,
       b.document #>> '{policy,id}' as policy_id, b.document #>> '{policy,version}' as policy_version,
       (b.document #>> '{ledger_head,seq}')::bigint as head_seq,
       coalesce((select jsonb_agg(c ->> 'region') from jsonb_array_elements(b.document -> 'copies') c), '[]') as planned,
       coalesce((
           select jsonb_agg(to_jsonb(r) order by r.region)
           from (
               select c.region, count(*) as objects, count(*) filter (where c.state = 'verified') as verified,
                      coalesce(sum(c.size) filter (where c.state = 'verified'), 0) as bytes,
                      coalesce(array_agg(distinct c.lock_mode order by c.lock_mode)
                               filter (where c.lock_mode is not null), '{}') as lock_modes,
                      min(c.retain_until) as retain_until, max(c.read_back_at) as read_back_at,
                      min(c.error) as error
               from vault.copies c
               where c.backup_id = b.backup_id
               group by c.region
           ) r), '[]') as copies
from vault.backups b
where coalesce(b.snapshot_at, b.started_at) >= %(since)s and coalesce(b.snapshot_at, b.started_at) < %(cut)s
order by coalesce(b.snapshot_at, b.started_at), b.backup_id
