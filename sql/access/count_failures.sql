select count(*) as failures from console.failures where what_sha256 = %(what)s and at > %(since)s
