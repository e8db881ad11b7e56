drop table pg_temp.staged_labels
