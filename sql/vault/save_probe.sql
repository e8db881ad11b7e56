insert into vault.probes (region, at, report) values (%(region)s, %(at)s, %(report)s) returning probe_id
