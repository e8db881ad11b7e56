"""Signing in and out, where the console stands alone."""

from typing import Any
from urllib.parse import urlsplit

import anyio
from fastapi import APIRouter, Request
from starlette.responses import Response

from tidewatch.access import sessions
from tidewatch.access.roles import Person
from tidewatch.console.desk import Desk
from tidewatch.console.forms import SignedForm, read_fields
from tidewatch.console.page import Address, Pages
from tidewatch.console.routes.common import see

# Hashing a password takes half a second: whoever sends many must not keep others from their pages.
_LIMITER = anyio.CapacityLimiter(4)


def cookie_name(request: Request) -> str:
    """`__Host-` ties the cookie to this host and to https; without https browsers would drop it."""
    return "__Host-tidewatch" if request.url.scheme == "https" else "tidewatch_session"


def who(desk: Desk, request: Request) -> Person | None:
    """Whose session the cookie is."""
    token = request.cookies.get(cookie_name(request))
    if not token:
        return None
    with desk.connect() as conn:
        return sessions.find(conn, token, now=desk.now())


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/sign-in")
    def form(request: Request, back: str = "") -> Response:
        return page(request, "sign_in.html.j2", back=_local(back), name="", said="")

    @routes.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        fields = await read_fields(request)
        name, back = fields.get("name", "").strip(), _local(fields.get("back", ""))
        try:
            token = await anyio.to_thread.run_sync(
                _sign_in, desk, request, name, fields.get("password", ""), limiter=_LIMITER
            )
        except sessions.TooManyTries:
            return page(request, "sign_in.html.j2", 429, back=back, name=name, said="sign_in.wait")
        if token is None:
            return page(request, "sign_in.html.j2", 401, back=back, name=name, said="sign_in.wrong")
        answer = see(Address(request).root + (back or "/"))
        answer.set_cookie(value=token, **_cookie(request))
        return answer

    @routes.post("/sign-out")
    def sign_out(request: Request, form: SignedForm) -> Response:
        with desk.connect() as conn:
            sessions.end(conn, request.cookies.get(cookie_name(request), ""))
        answer = see(Address(request).url("sign-in"))
        answer.delete_cookie(**_cookie(request))
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    return routes


def _sign_in(desk: Desk, request: Request, name: str, password: str) -> str | None:
    if not 1 <= len(name) <= 64 or not 1 <= len(password) <= 1000 or "\0" in name:
        return None
    with desk.connect() as conn:
        return sessions.sign_in(
            conn,
            name,
            password,
            address=request.client.host if request.client else "",
            previous=request.cookies.get(cookie_name(request)),
            now=desk.now(),
        )


def _local(back: str) -> str:
    """A path of this console to return to; "" for everything that could lead elsewhere."""
    try:
        parts = urlsplit(back)
    except ValueError:  # such as //[
        return ""
    plain = back.isascii() and back.isprintable() and "\\" not in back and len(back) <= 2000
    if not plain or parts.scheme or parts.netloc or not back.startswith("/") or back.startswith("//"):
        return ""
    return "" if parts.path in {"/sign-in", "/sign-out"} else back


def _cookie(request: Request) -> dict[str, Any]:
    secure = request.url.scheme == "https"
    path = "/" if secure else Address(request).root or "/"
    return {
        "key": cookie_name(request), "path": path, "secure": secure, "httponly": True, "samesite": "strict",
    }  # fmt: skip
