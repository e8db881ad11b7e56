"""Is this container's service healthy? Exit code 0 or 1; used by the health checks of docker-compose.yaml.

    healthcheck.py http URL    the service answers 200
    healthcheck.py worker      the Celery worker of this container answers a ping through the broker
    healthcheck.py image       the environment of the image is whole

Neither asks Airflow itself, which would cost seconds of CPU a check.
"""

import os
import shlex
import socket
import subprocess
import sys
import urllib.error
import urllib.request

_HTTP_TIMEOUT_S = 5.0
_PING_TIMEOUT_S = 5.0
_PROXIES = urllib.request.ProxyHandler({})


def main(arguments: list[str]) -> int:
    """The command line; see the module's text."""
    match arguments:
        case ["http", url]:
            healthy = answers(url)
        case ["worker"]:
            healthy = pings(broker_url(), f"celery@{socket.gethostname()}")
        case ["image"]:
            healthy = subprocess.run([sys.executable, "-c", "import tidewatch"], check=False).returncode == 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0 if healthy else 1


def answers(url: str) -> bool:
    """True when `url` answers 200 within 5 s. A proxy of the environment is not asked."""
    try:
        with urllib.request.build_opener(_PROXIES).open(url, timeout=_HTTP_TIMEOUT_S) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError) as error:
        print(f"{url}: {error}", file=sys.stderr)
        return False


def broker_url() -> str:
    """What Airflow is told: AIRFLOW__CELERY__BROKER_URL, or the output of AIRFLOW__CELERY__BROKER_URL_CMD."""
    command = os.environ.get("AIRFLOW__CELERY__BROKER_URL_CMD")
    if command:
        return subprocess.run(shlex.split(command), check=True, capture_output=True, text=True).stdout.strip()
    return os.environ["AIRFLOW__CELERY__BROKER_URL"]


def pings(broker: str, worker: str) -> bool:
    """True when the Celery worker named `worker` answers through `broker` within 5 s."""
    from celery import Celery  # type: ignore[import-untyped, unused-ignore]
    from kombu.exceptions import OperationalError  # type: ignore[import-untyped, unused-ignore]

    app = Celery(broker=broker)
    app.conf.broker_connection_retry = False
    app.conf.broker_transport_options = {"max_retries": 1, "socket_connect_timeout": _PING_TIMEOUT_S}
    try:
        answer = app.control.ping(destination=[worker], timeout=_PING_TIMEOUT_S)
    except (OperationalError, OSError) as error:
        print(f"the broker does not answer: {type(error).__name__}", file=sys.stderr)  # never its address
        return False
    return any(worker in reply for reply in answer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
