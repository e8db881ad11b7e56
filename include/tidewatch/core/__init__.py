"""Floor 1: what every room stands on (settings, database, regions, time, errors, redaction)."""
