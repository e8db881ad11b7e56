insert into vault.held_objects (region, object_key, version_id, means, until, since, seen_at)
values (%(region)s, %(object_key)s, %(version_id)s, %(means)s, %(until)s, %(now)s, %(seen_at)s)
on conflict (region, object_key, version_id) do update
set means = excluded.means, until = excluded.until, seen_at = excluded.seen_at
