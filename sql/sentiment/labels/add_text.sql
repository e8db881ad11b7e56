insert into sentiment.texts (text_sha256, text) values (%(text_sha256)s, %(text)s)
on conflict (text_sha256) do nothing
