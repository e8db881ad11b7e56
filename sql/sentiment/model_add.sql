insert into sentiment.models (version, model_sha256, content, dataset_sha256, parameters, metrics, compared_with,
                              run, registered_at, registered_by, ledger_seq)
values (%(version)s, %(model_sha256)s, %(content)s, %(dataset_sha256)s, %(parameters)s, %(metrics)s,
        %(compared_with)s, %(run)s, %(registered_at)s, %(registered_by)s, %(ledger_seq)s)
