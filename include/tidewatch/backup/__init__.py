"""Writes the vault: plan, sources, one pass to every region, the gate, the commit, healing, probing."""
