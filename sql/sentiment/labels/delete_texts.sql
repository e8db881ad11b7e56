delete from sentiment.texts t
where t.text_sha256 = any (%(texts)s)
  and not exists (select from sentiment.posts p where p.text_sha256 = t.text_sha256)
