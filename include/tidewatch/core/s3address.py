"""How to reach an S3 store: the one way to read it from a connection, for regions and for sources."""

from urllib.parse import urlsplit

from tidewatch.core.connections import Connection
from tidewatch.core.errors import ConfigError
from tidewatch.core.objectstore import Address


def s3_address(connection: Connection, owner: str) -> Address:
    """The address in an Airflow connection of type `aws`: login = access key id, password = secret,
    extra.endpoint_url, extra.region_name. `owner` (`region cn-east`) is named in errors.

    Raises ConfigError; the text shows no secret.
    """
    if connection.conn_type not in {"aws", "s3"}:
        raise ConfigError(
            f"Connection {connection.conn_id} of {owner} is of another kind",
            expected="type aws",
            found=f"type {connection.conn_type or 'unknown'}",
            do=f"set the type of connection {connection.conn_id} to aws; docs/connections.md has examples",
        )
    if not connection.login or not connection.password:
        raise ConfigError(
            f"Connection {connection.conn_id} of {owner} is incomplete",
            expected="login (access key id) and password (secret access key)",
            found="no " + ("login" if not connection.login else "password"),
            do=f"complete connection {connection.conn_id}; docs/connections.md has examples",
        )
    return Address(
        endpoint_url=_endpoint(connection, owner),
        region_name=str(connection.extra.get("region_name") or "us-east-1"),
        access_key=connection.login,
        secret_key=connection.password,
        session_token=connection.extra.get("aws_session_token"),
        verify=_verify(connection.extra.get("verify", True)),
    )


def _endpoint(connection: Connection, owner: str) -> str | None:
    """`extra.endpoint_url`, also where Airflow's AWS hook looks for the one of S3; None is AWS itself."""
    extra = connection.extra
    service = extra.get("service_config")
    s3 = service.get("s3") if isinstance(service, dict) else None
    endpoint = (s3.get("endpoint_url") if isinstance(s3, dict) else None) or extra.get("endpoint_url")
    if not endpoint:
        return None
    parts = urlsplit(str(endpoint))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise ConfigError(
            f"Connection {connection.conn_id} of {owner} has an endpoint that cannot be used",
            expected="extra.endpoint_url such as https://s3.example.com or http://127.0.0.1:9000",
            found="another form (not shown, it may hold a secret)",
            do=f"correct endpoint_url in the extra of connection {connection.conn_id}",
        )
    return str(endpoint).rstrip("/")


def _verify(value: object) -> bool | str:
    """URIs carry text only: `verify=false` means what it says. Any other text is a certificate file."""
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    return value if isinstance(value, str | bool) else True
