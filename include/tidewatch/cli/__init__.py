"""Floor 4: the command line, the same functions without Airflow."""

from tidewatch.cli.app import app, main

__all__ = ["app", "main"]
