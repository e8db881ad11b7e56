select 1 as known from vault.listings where sha256 = %(sha256)s
