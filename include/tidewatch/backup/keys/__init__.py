"""Keys change: recipients and the signing key, recorded in the ledger, and which backups still need which."""
