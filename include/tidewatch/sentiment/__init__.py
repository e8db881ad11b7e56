"""The sentiment model: trained on this machine from labels that people can read, and never loaded unproved."""

LABELS = ("negative", "neutral", "positive")
"""The classes, in the order of every array of theirs."""
