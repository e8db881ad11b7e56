update console.sessions set seen_at = %(now)s where token_sha256 = %(token)s and seen_at < %(now)s
