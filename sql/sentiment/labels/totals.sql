select (select count(*) from sentiment.posts) as posts,
       (select count(*) from sentiment.texts) as texts,
       (select count(*) from sentiment.labels) as labels,
       (select count(distinct annotator) from sentiment.labels) as annotators,
       (select count(*) from sentiment.deletions) as deleted,
       coalesce((
           select jsonb_object_agg(label, n order by label)
           from (select label, count(*) as n from sentiment.votes group by label) v), '{}') as votes
