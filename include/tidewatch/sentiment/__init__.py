"""The sentiment model: trained on this machine from labels that people can read."""

LABELS = ("negative", "neutral", "positive")
"""The classes, in the order of every array of theirs."""
