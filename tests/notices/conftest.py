"""Receivers for the notice tests."""

import io
import logging
from collections.abc import Iterator

import pytest
from catchers import HttpCatcher, MailCatcher

from tidewatch.core.database import Connection, connect


@pytest.fixture
def conn(warehouse: str) -> Iterator[Connection]:
    with connect(warehouse, application_name="tests") as connection:
        yield connection


@pytest.fixture
def mail() -> Iterator[MailCatcher]:
    catcher = MailCatcher()
    yield catcher
    catcher.stop()


@pytest.fixture
def http() -> Iterator[HttpCatcher]:
    catcher = HttpCatcher()
    yield catcher
    catcher.stop()


@pytest.fixture
def root_log() -> Iterator[io.StringIO]:
    """Everything that reaches the root logger, at every level: what an application's log would hold.

    Not `caplog`: that one attaches itself to loggers that do not propagate as well.
    """
    text = io.StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(1)
    yield text
    root.removeHandler(handler)
    root.setLevel(before)
