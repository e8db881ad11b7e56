"""The console behind Airflow's login: who sent a request, and what Airflow lets that person do.

Apps that a plugin mounts are not behind Airflow's login by themselves. Here the session token that Airflow's
own pages use (cookie `_token`, or `Authorization: Bearer`) is checked by the auth manager in force, revoked
tokens included, and its answers about Airflow's permissions become our roles:

| may in Airflow | is |
|---|---|
| read the Dag `back_up_sources` | auditor |
| answer the human-in-the-loop task of `test_restores` | compliance |
| answer the human-in-the-loop task of `retrain_model` | analyst |
| change connections, and run `back_up_sources` | engineer |

Nothing of Airflow is imported before the first request: scheduler and workers load plugins too.
"""

import hashlib
import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tidewatch.access.roles import Person, Role

if TYPE_CHECKING:
    from starlette.requests import Request

BACKUP_DAG, RESTORE_DAG, RETRAIN_DAG = "back_up_sources", "test_restores", "retrain_model"


async def who(request: "Request") -> Person | None:
    """The person whose valid Airflow session sent the request; None for everybody else. Somebody whom Airflow
    lets read none of our Dags has no role, and sees no page."""
    from airflow.api_fastapi.core_api.security import resolve_user_from_token
    from anyio import to_thread
    from fastapi import HTTPException

    token = _token(request)
    try:
        user = await resolve_user_from_token(token)
    except HTTPException:
        return None
    roles = await to_thread.run_sync(roles_of, user)
    return Person(str(user.get_name()), roles, _form_key(token or ""))


def sign_in_url(request: "Request") -> str:
    """Airflow's login page, which leads back to where the person wanted to go."""
    from airflow.api_fastapi.app import get_auth_manager

    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    address = get_auth_manager().get_url_login()
    return f"{address}{'&' if '?' in address else '?'}{urlencode({'next': back})}"


def roles_of(user: Any) -> frozenset[Role]:
    """Our roles of an Airflow user, by what the auth manager permits."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails

    manager = get_auth_manager()
    backup = DagDetails(id=BACKUP_DAG)
    roles: set[Role] = set()
    if manager.is_authorized_dag(method="GET", details=backup, user=user):
        roles.add("auditor")
    answers: dict[str, Role] = {RESTORE_DAG: "compliance", RETRAIN_DAG: "analyst"}
    for dag_id, role in answers.items():
        if manager.is_authorized_dag(
            method="PUT", access_entity=DagAccessEntity.HITL_DETAIL, details=DagDetails(id=dag_id), user=user
        ):
            roles.add(role)
    if manager.is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=backup, user=user
    ) and manager.is_authorized_connection(method="PUT", user=user):
        roles.add("engineer")
    return frozenset(roles)


def _token(request: "Request") -> str | None:
    from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN

    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    # As in Airflow: what was given explicitly goes before the cookie.
    if scheme.lower() == "bearer" and credentials:
        return credentials
    return request.cookies.get(COOKIE_NAME_JWT_TOKEN)


def _form_key(token: str) -> bytes:
    """Belongs to this session; made with Airflow's own secret, so that what stands in forms says nothing of
    the session's token."""
    from airflow.configuration import conf

    secret = str(conf.get("api", "secret_key", fallback="")).encode()
    return hmac.new(secret, b"tidewatch console forms\0" + token.encode(), hashlib.sha256).digest()
