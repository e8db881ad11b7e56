-- Every text that was ever held out, by which run.
select text_sha256, run_id from sentiment.held_out
