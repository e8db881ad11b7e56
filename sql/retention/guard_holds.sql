-- Until the transaction ends nobody else places or lifts a hold, or marks a backup as expired.
lock table vault.holds in share row exclusive mode
