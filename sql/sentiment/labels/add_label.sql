insert into sentiment.labels (post_id, label, annotator, source, origin, asked_for, blind, labelled_at, recorded_at)
values (%(post_id)s, %(label)s, %(annotator)s, 'console', 'console', %(asked_for)s, %(blind)s, %(labelled_at)s, %(now)s)
returning label_id
