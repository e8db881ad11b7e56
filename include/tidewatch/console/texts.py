"""The words of the pages, in English and Chinese: `texts.yaml`, one key a text, `[English, 中文]`."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from markupsafe import Markup

from tidewatch.console.show import visible

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, tuple[str, str]]:
    """Key -> (English, Chinese)."""
    text = (Path(__file__).parent / "texts.yaml").read_text(encoding="utf-8")
    return {str(key): (str(en), str(zh)) for key, (en, zh) in yaml.safe_load(text).items()}


class Texts:
    """`t("backups.title")` in one language; `{name}` in a text is replaced, escaped."""

    def __init__(self, language: Language) -> None:
        self._index = LANGUAGES.index(language)

    def __call__(self, key: str, **values: Any) -> Markup:
        text = catalogue()[key][self._index]
        if not values:
            return Markup(text)  # noqa: S704 - texts of our own
        return Markup(text).format(**{k: visible(v) for k, v in values.items()})  # noqa: S704 - as above

    def known(self, key: str, otherwise: str) -> Markup | str:
        """The text where there is one, else `otherwise` as it is: kinds and states that rooms to come add."""
        return self(key) if key in catalogue() else otherwise


def accepted(header: str) -> Language:
    """The one of our languages that a browser's Accept-Language likes best; English where it names none."""
    best: tuple[float, Language] = (0.0, "en")
    for part in header[:200].split(","):
        name, _, quality = part.strip().partition(";q=")
        language: Language | None = {"zh": "zh", "en": "en"}.get(name[:2].lower())  # type: ignore[assignment]
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if language and weight > best[0]:
            best = (weight, language)
    return best[1]
