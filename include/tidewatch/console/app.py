"""The console as an ASGI application: routes, the guard before them, and pages for what goes wrong."""

import logging
from pathlib import Path

import psycopg
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import FileResponse, RedirectResponse, Response

from tidewatch.console.desk import Desk, Door
from tidewatch.console.page import NAVIGATION, Address, Pages
from tidewatch.console.routes import (
    backups,
    evidence,
    findings,
    holds,
    labelling,
    model,
    quality,
    restores,
    signing_in,
)
from tidewatch.console.security import HEADERS, Guard
from tidewatch.core.errors import NotFound, TidewatchError
from tidewatch.core.redaction import redact

_LOG = logging.getLogger(__name__)
_STATIC = {"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8"}
_KNOWN_STATUS = {400, 401, 403, 404, 405, 411, 413, 415, 422}


def create_app(desk: Desk, door: Door) -> FastAPI:
    """The console. It opens no connection before the first request."""
    # No redirects to addresses without a slash: they would name whatever host the request named.
    app = FastAPI(title="Tidewatch", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    page = Pages(desk, door)
    app.add_middleware(Guard, door=door)
    for module in (backups, restores, findings, holds, evidence, quality, model, labelling):
        app.include_router(module.router(desk, page))
    if door.own:
        app.include_router(signing_in.router(desk, page))

    @app.get("/")
    def home(request: Request) -> Response:
        for _, path, right in NAVIGATION:
            if request.state.person.may(right):
                return RedirectResponse(Address(request).root + path, status_code=303)
        raise HTTPException(403, "right")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in _STATIC:
            raise HTTPException(404)
        return FileResponse(
            Path(__file__).parent / "static" / name,
            media_type=_STATIC[name],
            headers={"Cache-Control": "public, max-age=86400, immutable"},
        )

    _tell_what_goes_wrong(app, page)
    return app


def _tell_what_goes_wrong(app: FastAPI, page: Pages) -> None:
    def say(request: Request, status: int, key: str, error: TidewatchError | None = None) -> Response:
        return page(request, "error.html.j2", status, key=key, error=error, status=status)

    @app.exception_handler(StarletteHTTPException)
    def http(request: Request, error: StarletteHTTPException) -> Response:
        if error.status_code == 403 and error.detail == "form":
            return say(request, 403, "error.form")
        return say(
            request,
            error.status_code,
            f"error.{error.status_code if error.status_code in _KNOWN_STATUS else 400}",
        )

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return say(request, 400, "error.400")

    @app.exception_handler(TidewatchError)
    def ours(request: Request, error: TidewatchError) -> Response:
        _LOG.warning("%s", error)
        if isinstance(error, NotFound):
            return say(request, 404, "error.ours", error)
        return say(request, 503 if error.retryable else 409, "error.ours", error)

    @app.exception_handler(psycopg.Error)
    def database(request: Request, error: psycopg.Error) -> Response:
        _LOG.error("The warehouse did not answer: %s", redact(str(error)))
        return say(request, 503, "error.503")

    @app.exception_handler(Exception)
    def defect(request: Request, error: Exception) -> Response:
        # Starlette writes the traceback into the log; the page says nothing of it. This answer does not come
        # past the guard any more.
        answer = say(request, 500, "error.500")
        answer.headers.update(HEADERS)
        return answer
