-- Posts that were offered, that nobody labelled, and that are offered no more.
delete from sentiment.posts p
using sentiment.scores s
where s.post_id = p.post_id and s.scored_at < %(before)s
  and not exists (select from sentiment.labels l where l.post_id = p.post_id)
returning p.text_sha256
