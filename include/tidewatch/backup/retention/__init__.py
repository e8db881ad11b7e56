"""For how long backups are kept: generations, legal holds, locks, and the removal of what nobody needs."""
