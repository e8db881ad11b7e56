insert into sentiment.texts (text_sha256, text)
select %(text_sha256)s, %(text)s
where not exists (
    select from sentiment.deletions d
    where d.post_key = %(post_key)s or (%(platform)s::text is null and d.text_sha256 = %(text_sha256)s))
  and not exists (select from sentiment.posts p where p.post_key = %(post_key)s)
on conflict (text_sha256) do nothing
