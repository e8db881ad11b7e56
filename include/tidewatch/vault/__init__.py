"""What a stored backup is: fingerprint, envelope, manifest, layout, read-back, catalogue."""
