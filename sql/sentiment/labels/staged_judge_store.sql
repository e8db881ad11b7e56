-- What the store says of each row. A text without an identity cannot be told from a deleted post of that text.
update pg_temp.staged_labels s
set outcome = case
        when exists (
            select from sentiment.deletions d
            where d.post_key = s.post_key or (s.platform is null and d.text_sha256 = s.text_sha256)) then 'deleted'
        when exists (
            select from sentiment.posts p
            where p.post_key = s.post_key and p.text_sha256 <> s.text_sha256) then 'text_differs'
        when exists (
            select from sentiment.posts p
            join sentiment.labels l using (post_id)
            where p.post_key = s.post_key and l.annotator = s.annotator and l.label = s.label
              and case
                  when s.labelled_at is not null then l.labelled_at = s.labelled_at
                  else l.origin = %(origin)s
                      or not exists (
                          select from sentiment.labels later
                          where later.post_id = l.post_id and later.annotator = l.annotator
                            and (later.labelled_at, later.label_id) > (l.labelled_at, l.label_id))
              end) then 'known'
        else s.outcome
    end
where s.outcome = 'accepted'
