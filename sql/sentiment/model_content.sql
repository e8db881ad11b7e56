select content from sentiment.models where version = %(version)s
