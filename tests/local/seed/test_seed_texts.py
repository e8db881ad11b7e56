"""The sample texts: every slot has a list, equal random states give equal texts."""

from random import Random
from typing import Any

import pytest

from tidewatch.core.errors import ConfigError
from tidewatch.local.seed.grammar import TEXTS, Writer, load, writers


def _templates(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node
    return [text for child in children for text in _templates(child)]


@pytest.mark.parametrize("name", ["posts", "comments", "complaints"])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_template_can_be_filled(name: str, lang: str) -> None:
    for template in _templates(load(name)[lang]):
        text = writers()[lang].fill(template, Random(1))
        assert "{" not in text, template


def test_an_unknown_slot_names_the_slot_and_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="colour") as caught:
        Writer({"color": ["red"]}).fill("a {colour} kettle", Random(1))
    assert "color" in caught.value.expected


def test_bound_words_stay_the_same_and_free_words_vary() -> None:
    writer, rng, bound = writers()["zh"], Random(1), dict[str, str]()
    assert len({writer.fill("{product}", rng, bound) for _ in range(50)}) == 1
    assert len({writer.fill("{product}", rng) for _ in range(50)}) > 5


def test_numbers_stay_within_their_range() -> None:
    rng = Random(1)
    drawn = {int(Writer({}).fill("{3-6}", rng)) for _ in range(200)}
    assert drawn == {3, 4, 5, 6}


def test_text_files_stay_readable() -> None:
    assert all(len(path.read_text().splitlines()) < 450 for path in TEXTS.glob("*.yaml"))
