"""The console inside Airflow: mounted at /tidewatch of the api-server, with an entry in the navigation.

Every process of Airflow loads plugins; only the api-server is asked for pages. So the console is built at its
first request, and loading this file costs next to nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

PREFIX = "/tidewatch"


class Console:
    """The ASGI application, built when it is first asked for."""

    def __init__(self) -> None:
        self._app: Callable[..., Awaitable[None]] | None = None
        self._building: asyncio.Lock | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            self._building = self._building or asyncio.Lock()
            async with self._building:
                self._app = self._app or await asyncio.to_thread(_build)
        await self._app(scope, receive, send)


def _build() -> Any:
    from tidewatch.console.app import create_app
    from tidewatch.console.desk import Door, open_desk
    from tidewatch.core.clock import utc_now
    from tidewatch.core.redaction import install_log_redaction
    from tidewatch.core.settings import load_settings
    from tidewatch.orchestration import console_login
    from tidewatch.orchestration.connections import from_airflow

    install_log_redaction()
    desk = open_desk(load_settings(), from_airflow, utc_now)
    return create_app(desk, Door(who=console_login.who, sign_in_url=console_login.sign_in_url))


class TidewatchPlugin(AirflowPlugin):
    """What Airflow is told."""

    name = "tidewatch"
    fastapi_apps = [{"app": Console(), "url_prefix": PREFIX, "name": "Tidewatch"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Tidewatch",
            # Without `url_route`: a link, not a frame; our pages refuse frames. In the menu Browse: of a
            # link of the first level Airflow 3.3.2 makes a button that leads nowhere.
            "href": urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/") + f"{PREFIX}/",
            "destination": "nav",
            "category": "browse",
        }
    ]
