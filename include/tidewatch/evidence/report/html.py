"""A page as one HTML file: no script, no reference to anything outside, light, printable."""

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tidewatch.evidence.report.blocks import Page


def render(page: Page) -> bytes:
    """UTF-8 HTML of `page`; every text is escaped."""
    return _environment().get_template("report.html.j2").render(page=page).encode()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
