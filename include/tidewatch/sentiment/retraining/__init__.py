"""Retraining: from labels to a challenger that was measured, judged and decided upon."""
