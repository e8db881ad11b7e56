"""Text in, facts out: what the domains need to know of a text and share."""
