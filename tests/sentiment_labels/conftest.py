"""A warehouse with a label store in it, and words to put there."""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
from label_desk import Desk

from tidewatch.core.database import connect


@pytest.fixture
def desk(warehouse: str) -> Iterator[Desk]:
    """An empty store."""
    with connect(warehouse, application_name="tests") as conn:
        yield Desk(conn)
