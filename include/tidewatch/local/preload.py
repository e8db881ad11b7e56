"""Libraries that tasks need, imported once in the scheduler: its task processes are forked and inherit them.

Importing Great Expectations takes every task that judges some seconds of processor time. Tidewatch itself is
not among them: a task runs the code as it is when the task begins.
"""

import importlib

SETTINGS = '''\
"""Written by Tidewatch at every start; Airflow reads it before the scheduler forks anything."""
import sys

__all__ = []  # what is named here would become a setting

if sys.argv[1:2] == ["scheduler"]:
    from tidewatch.local.preload import load

    load()
'''
"""`airflow_local_settings`."""

LIBRARIES = (
    "boto3.session",
    "great_expectations",
    "great_expectations.render.renderer.inline_renderer",
    "jinja2",
    "jsonschema",
    "pandas",
    "psycopg",
    "pydantic",
    "pyrage",
    "requests",
    "rfc8785",
    "zstandard",
)


def load() -> None:
    """Import them. None may start a thread of Python's: a fork would not take it along."""
    for name in LIBRARIES:
        importlib.import_module(name)
