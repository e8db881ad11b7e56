-- Whether a version was trained by a retraining, which keeps from it what is held out.
select exists (select from sentiment.retrainings where challenger = %(version)s) as by_retraining
