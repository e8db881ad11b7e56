"""A model trained once a session, on made-up posts."""

import pytest
from posts import posts

from tidewatch.sentiment.model import Model
from tidewatch.sentiment.train import train

BITS = 14


@pytest.fixture(scope="session")
def model() -> Model:
    texts, labels = posts(600, seed=1)
    return train(texts, labels, seed=7, bits=BITS)
