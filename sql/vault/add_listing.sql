insert into vault.listings (sha256, entries) values (%(sha256)s, %(entries)s) on conflict do nothing
