-- Without their bytes. A parameter that is null does not filter.
select m.version, m.model_sha256, length(m.content) as size, m.dataset_sha256, m.parameters, m.metrics,
       m.compared_with, m.run, m.registered_at, m.registered_by,
       exists (select from sentiment.champions c where c.version = m.version and c.until is null) as champion
from sentiment.models m
where (%(version)s::bigint is null or m.version = %(version)s)
  and (%(model_sha256)s::text is null or m.model_sha256 = %(model_sha256)s)
order by m.version
