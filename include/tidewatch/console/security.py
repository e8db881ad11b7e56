"""What stands before every page: headers, limits, and the gate. Plain ASGI: no route can be forgotten.

Nobody who has not signed in gets past the gate, whatever the address: only the style sheet and, where the
console signs people in itself, the sign-in page are open.
"""

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import psycopg
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidewatch.console.desk import Door
from tidewatch.core.errors import TidewatchError
from tidewatch.core.redaction import redact

_LOG = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD"})
OPEN_PATHS = frozenset({"/static/console.css"})
SIGN_IN = "/sign-in"
MAX_BODY = 64 * 1024
"""Bytes of a form. The longest texts that people type here are sentences."""

CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
DOCS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Of the pages of the gates, which carry their style in themselves and have no script."""

HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers would then send no Origin with our own forms either.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Headers on every answer; refuses requests that no form of ours makes; lets in whom the door knows."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no web sockets here
        request = Request(scope)
        answer = refused(request) or await self._admit(request)
        send = _with_headers(send, https=request.url.scheme == "https")
        await (answer or self._app)(scope, _within_limit(receive), send)

    async def _admit(self, request: Request) -> Response | None:
        path = path_of(request.scope)
        if path in OPEN_PATHS or (self._door.own and path == SIGN_IN):
            request.state.person = None
            return None
        try:
            request.state.person = await self._door.who(request)
        except (TidewatchError, psycopg.Error) as error:
            _LOG.error("Nobody can be let in: %s", redact(str(error)))
            return PlainTextResponse("The warehouse does not answer. Try again in a minute.", status_code=503)
        if request.state.person is not None:
            return None
        if request.method == "GET":
            return RedirectResponse(self._door.sign_in_url(request), status_code=303)
        return PlainTextResponse("Not signed in", status_code=401)


def path_of(scope: Scope) -> str:
    """The path below the place where the console is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path


def refused(request: Request) -> Response | None:
    """An answer to what a browser that shows our own pages does not send; None for the rest."""
    if request.method in SAFE_METHODS:
        return None
    if request.method != "POST":
        return PlainTextResponse("Method not allowed", status_code=405)
    if not _same_site(request.headers):
        return PlainTextResponse("This form is not on a page of ours", status_code=403)
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdecimal()):
        return PlainTextResponse("A length is required", status_code=411)
    if len(length) > 9 or int(length) > MAX_BODY:
        return PlainTextResponse("Too large", status_code=413)
    return None


def _same_site(headers: Headers) -> bool:
    """Browsers say where a form stands. A program that says nothing still needs the form's own token."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host", "")
    except ValueError:
        return False


def _within_limit(receive: Receive) -> Receive:
    """A body can be longer than its header says, where a server lets both lengths and chunks through."""
    read = 0

    async def receive_within_limit() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY:
            raise HTTPException(413)
        return message

    return receive_within_limit


def _with_headers(send: Send, *, https: bool) -> Callable[[Message], Any]:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if https:
                headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        await send(message)

    return send_with_headers
