"""The compliance report: what a month of backups can show, as one document and its renderings.

`facts` reads the warehouse into the document (`document`), `view` says it in one language, `html`, `pdf` and
`tables` write it down, `make` does all of it once, keeps it and records its digests in the ledger.
"""
