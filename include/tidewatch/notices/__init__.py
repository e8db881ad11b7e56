"""Who is told what, once. How to add a channel: docs/notices.md."""
