"""Airflow connections, as the rooms below know them."""

from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.exceptions import AirflowNotFoundException

from tidewatch.core.connections import Connection, missing


def from_airflow(conn_id: str) -> Connection:
    """The Airflow connection `conn_id`, from whichever secrets backend holds it.

    Raises MissingConnection, with what to set.
    """
    try:
        found = AirflowConnection.get(conn_id)
    except AirflowNotFoundException:
        raise missing(conn_id) from None
    return Connection(
        conn_id=conn_id,
        conn_type=found.conn_type or "",
        host=found.host,
        port=found.port,
        login=found.login,
        password=found.password,
        schema=found.schema,
        extra=found.extra_dejson,
    )
