delete from console.sessions where token_sha256 = %(token)s
