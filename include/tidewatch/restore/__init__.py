"""Reads the vault: chooses a backup, fetches it from a region that works, checks it, and rebuilds it."""
