select content, ledger_seq from sentiment.models where version = %(version)s
