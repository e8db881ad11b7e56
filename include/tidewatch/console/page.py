"""One page: language, colours, who looks at it, and the template."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote, urlencode

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from tidewatch.access.roles import Person, Right
from tidewatch.console import show
from tidewatch.console.desk import Desk, Door
from tidewatch.console.forms import token
from tidewatch.console.security import path_of
from tidewatch.console.texts import LANGUAGES, Language, Texts, accepted
from tidewatch.core.canonical import sha256_hex

Theme = Literal["auto", "light", "dark"]
THEMES: tuple[Theme, ...] = get_args(Theme)
_YEAR = 365 * 24 * 3600
_HERE = Path(__file__).parent

NAVIGATION: tuple[tuple[str, str, Right], ...] = (
    ("backups", "/backups", "backups.read"),
    ("restores", "/restores", "restores.read"),
    ("findings", "/findings", "findings.read"),
    ("holds", "/holds", "holds.read"),
    ("evidence", "/evidence", "evidence.read"),
    ("quality", "/quality", "quality.read"),
    ("model", "/model", "model.read"),
    ("labelling", "/labelling", "labelling.read"),
)


@dataclass(frozen=True)
class Taste:
    """What somebody chose to see: kept in cookies, or in the address for one page."""

    language: Language
    theme: Theme


def taste_of(request: Request) -> Taste:
    def said(name: str) -> tuple[str | None, str | None]:
        return request.query_params.get(name), request.cookies.get(f"tidewatch_{name}")

    preferred = accepted(request.headers.get("accept-language", ""))
    return Taste(
        next((known for asked in said("lang") for known in LANGUAGES if asked == known), preferred),
        next((known for asked in said("theme") for known in THEMES if asked == known), "auto"),
    )


class Pages:
    """Renders templates for requests."""

    def __init__(self, desk: Desk, door: Door) -> None:
        self._door = door
        self.shown = show.Shown(desk.zone)
        self._environment = _environment()

    def __call__(self, request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
        """The page as an answer. Choices of language and colours in the address are kept in cookies."""
        taste = taste_of(request)
        person: Person | None = getattr(request.state, "person", None)
        here = Address(request)
        html = self._environment.get_template(template).render(
            t=Texts(taste.language),
            taste=taste,
            person=person,
            form_token=token(person) if person else "",
            url=here.url,
            again=here.again,
            here=here,
            navigation=[n for n in NAVIGATION if person and person.may(n[2])],
            own_door=self._door.own,
            time=self.shown.time,
            zone=self.shown.zone.key,
            style=asset_version("console.css"),
            script=asset_version("console.js"),
            **values,
        )
        answer = HTMLResponse(html, status)
        secure = request.url.scheme == "https"
        for name, value, known in (
            ("lang", taste.language, LANGUAGES),
            ("theme", taste.theme, THEMES),
        ):
            if request.query_params.get(name) in known:
                answer.set_cookie(
                    f"tidewatch_{name}",
                    value,
                    max_age=_YEAR,
                    path=here.root or "/",
                    secure=secure,
                    httponly=True,
                    samesite="lax",
                )
        return answer


class Address:
    """Where this page is, and where others are: every link is made here, escaped."""

    def __init__(self, request: Request) -> None:
        self.root = str(request.scope.get("root_path", "")).rstrip("/")
        self.path = path_of(request.scope)
        self._query = dict(request.query_params) if request.method == "GET" else {}

    def query(self, name: str) -> str:
        """One parameter of this page's address; "" when it is absent."""
        return self._query.get(name, "")

    def url(self, *parts: Any, **query: Any) -> str:
        """`url("backups", backup_id, page=2)` -> `/tidewatch/backups/ops-...?page=2`; None is left out."""
        path = "/".join(quote(str(part), safe="") for part in parts)
        return f"{self.root}/{path}{_query(query)}"

    def again(self, **query: Any) -> str:
        """This page with other parameters; None removes one."""
        path = quote(self.path)
        return f"{self.root}{path}{_query({**self._query, **query})}"


def _query(values: Mapping[str, Any]) -> str:
    text = urlencode([(k, v) for k, v in values.items() if v is not None and v != ""])
    return f"?{text}" if text else ""


@lru_cache(maxsize=8)
def asset_version(name: str) -> str:
    """So that browsers may keep a file until it changes."""
    return sha256_hex((_HERE / "static" / name).read_bytes())[:12]


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=show.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": show.size,
        "number": show.number,
        "duration": show.duration,
        "short": show.short,
        "code": show.code,
        "exact": show.exact,
        "said": show.paragraphs,
        "pretty": show.pretty,
        "post": show.post,
        "share": show.share,
    }
    return environment
