select digest, up_to, rows, summary from sentiment.data_versions where digest = %(digest)s
