"""The console by itself, with its own sign-in: `uvicorn --factory tidewatch.console.alone:application`."""

from urllib.parse import quote

from anyio import to_thread
from fastapi import FastAPI
from starlette.requests import Request

from tidewatch.access.roles import Person
from tidewatch.console.app import create_app
from tidewatch.console.desk import Desk, Door, open_desk
from tidewatch.console.routes import signing_in
from tidewatch.console.security import path_of
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment
from tidewatch.core.redaction import install_log_redaction
from tidewatch.core.settings import load_settings


def own_door(desk: Desk) -> Door:
    """Our own sign-in: names and passwords of console.users."""

    async def who(request: Request) -> Person | None:
        return await to_thread.run_sync(signing_in.who, desk, request)

    def sign_in_url(request: Request) -> str:
        root, path = str(request.scope.get("root_path", "")), path_of(request.scope)
        back = path + (f"?{request.url.query}" if request.url.query else "")
        return f"{root}/sign-in" + (f"?back={quote(back)}" if path != "/" else "")

    return Door(who=who, sign_in_url=sign_in_url, own=True)


def application() -> FastAPI:
    """The console of this machine's settings."""
    install_log_redaction()
    desk = open_desk(load_settings(), from_environment, utc_now)
    return create_app(desk, own_door(desk))
