"""A page as PDF, set by Typst from pages/report.typ. Fonts are embedded; nothing is fetched.

What the report says reaches the template as JSON: it is data there, never markup.
"""

import json
import re
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from pylopdf_fonts_zh_cn import sans_path
from typst import Compiler, Fonts

from tidewatch.evidence.report.blocks import Page

_TEMPLATE = Path(__file__).parent / "pages" / "report.typ"
_LONG = re.compile(r"[!-~]{15,}")
_AFTER = re.compile(r"([-/:_.,;=&?@+]|[^-/:_.,;=&?@+]{16})(?=.)")
_HERE = "\u200b"


def render(page: Page, dated: datetime) -> bytes:
    """PDF of `page`; `dated` (UTC) is the date that its metadata carry. The same page is the same bytes."""
    content = json.dumps(_breakable(asdict(page)), ensure_ascii=False)
    compiler = Compiler(
        _TEMPLATE.read_bytes(),
        font_paths=_fonts(),
        ignore_system_fonts=True,
        sys_inputs={"page": content},
    )
    pdf = compiler.compile(format="pdf", timestamp=int(dated.timestamp()))
    assert isinstance(pdf, bytes)  # noqa: S101 - one format, no output path: one file
    return pdf


@lru_cache(maxsize=1)
def _fonts() -> Fonts:
    return Fonts(include_system_fonts=False, font_paths=[str(sans_path().parent)])


def _breakable(value: Any) -> Any:
    """Words longer than a narrow column may be broken after a sign, or anywhere if they have none."""
    if isinstance(value, str):
        return _LONG.sub(lambda match: _AFTER.sub(rf"\1{_HERE}", match[0]), value)
    if isinstance(value, dict):
        return {name: _breakable(inner) for name, inner in value.items()}
    return [_breakable(inner) for inner in value] if isinstance(value, list | tuple) else value
