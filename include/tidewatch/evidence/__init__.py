"""The ledger: records, hash chain, anchoring. What it proves and what it does not: docs/ledger.md."""
