-- With a version: only if it is the shadow.
update sentiment.shadows set until = greatest(%(now)s, since)
where until is null and (%(version)s::bigint is null or version = %(version)s)
