"""Tidewatch (观潮): proven backups, and trend tables that analysts can stand on."""
