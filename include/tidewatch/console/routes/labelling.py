"""*Labelling*: one post after the other, by key or by button; what others say is shown after the answer."""

import re
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import Response

from tidewatch.access.roles import Person
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs, SignedForm, seal, unseal
from tidewatch.console.page import Address, Pages
from tidewatch.console.routes.common import see, start_of
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import NotFound
from tidewatch.sentiment.labels.posts import Label
from tidewatch.sentiment.labels.queue import Item, opinion, queue
from tidewatch.sentiment.labels.store import AskedFor, answer

Reader = Annotated[Person, Depends(Needs("labelling.read"))]
Labeller = Annotated[Person, Depends(Needs("labelling.label"))]
Skipped = Annotated[str, Query(max_length=1000)]
Key = Annotated[str, Query(max_length=64)]

_LABELS: tuple[Label, ...] = get_args(Label)
_ASKED_FOR: tuple[AskedFor, ...] = get_args(AskedFor)
_KEY = re.compile(r"[0-9a-f]{64}")
_START = re.compile(r"[0-9a-f]{12}")
_MOST_SKIPPED = 50
"""Skipped posts are remembered in the address, for this tab; the first ones come back after so many."""


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/labelling")
    def labelling(
        request: Request, person: Reader, skipped: Skipped = "", post: Key = "", done: Key = ""
    ) -> Response:
        passed = _starts(skipped)
        settings = desk.labels_file().queue
        today = start_of(page.shown.day(desk.now()), desk.zone)
        with desk.look() as conn:
            own = _labelled(conn, post, person)
            item = (
                None
                if own
                else _next(queue(conn, annotator=person.name, settings=settings, n=len(passed) + 1), passed)
            )
            last = _labelled(conn, done, person)
            said = opinion(conn, last["post_key"]) if last else None
            mine = execute(conn, "console/labelled_by", {"annotator": person.name, "since": today}).fetchone()
        shown: Any = own or item
        return page(
            request,
            "labelling.html.j2",
            shown=shown,
            own=own,
            why=seal(person, item.post_key, item.asked_for) if item else "",
            last=last,
            others={name: label for name, label in said.labels.items() if name != person.name}
            if said
            else {},
            chances=said.probabilities if said else None,
            mine=mine,
            skipped=",".join(passed),
            skip=",".join([*passed, item.post_key[:12]][-_MOST_SKIPPED:]) if item else "",
        )

    @routes.post("/labelling")
    def label(request: Request, person: Labeller, form: SignedForm) -> Response:
        post_key, said = form.text("post_key", longest=64), form.text("label", longest=20)
        chosen = next((known for known in _LABELS if known == said), None)
        if chosen is None or _KEY.fullmatch(post_key) is None:
            raise HTTPException(400)
        why = unseal(person, post_key, form.text("why", longest=64), _ASKED_FOR)
        here, skipped = Address(request), ",".join(_starts(form.text("skipped", longest=1000)))
        try:
            with desk.connect() as conn:
                answer(
                    conn,
                    post_key=post_key,
                    label=chosen,
                    annotator=person.name,
                    asked_for=why,
                    now=desk.now(),
                )
        except NotFound:
            return see(here.url("labelling", said="gone", skipped=skipped))
        return see(here.url("labelling", done=post_key, skipped=skipped))

    return routes


def _starts(text: str) -> list[str]:
    """Beginnings of the keys of posts, the last ones; what is none is left out."""
    return [each for each in text.split(",") if _START.fullmatch(each)][-_MOST_SKIPPED:]


def _next(items: list[Item], passed: list[str]) -> Item | None:
    return next((item for item in items if item.post_key[:12] not in passed), None)


def _labelled(conn: Connection, post_key: str, person: Person) -> dict[str, Any] | None:
    """A post that this person has labelled. Of others nothing is shown here: whoever asks for one by its key
    would see what the others say of it before he answers."""
    if _KEY.fullmatch(post_key) is None:
        return None
    values = {"post_key": post_key, "annotator": person.name}
    return execute(conn, "console/labelled_post", values).fetchone()
