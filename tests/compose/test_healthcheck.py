"""The health checks tell a service that answers from one that does not."""

import http.server
import threading
from collections.abc import Iterator
from types import ModuleType

import pytest
from celery import Celery  # type: ignore[import-untyped, unused-ignore]
from celery.contrib.testing.worker import start_worker  # type: ignore[import-untyped, unused-ignore]


@pytest.fixture
def site() -> Iterator[str]:
    """An HTTP server that knows /health only."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_service_that_answers_200_is_healthy_and_no_other(healthcheck: ModuleType, site: str) -> None:
    assert healthcheck.main(["http", f"{site}/health"]) == 0
    assert healthcheck.main(["http", f"{site}/other"]) == 1
    assert healthcheck.main(["http", "http://127.0.0.1:1/health"]) == 1


def test_a_proxy_of_the_environment_is_not_asked(
    healthcheck: ModuleType, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert healthcheck.main(["http", f"{site}/health"]) == 0


def test_a_worker_without_broker_is_unhealthy_and_the_password_stays_unsaid(
    healthcheck: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL_CMD", "echo redis://:hunter2@127.0.0.1:1/0")
    assert healthcheck.main(["worker"]) == 1
    out, err = capfd.readouterr()
    assert "broker" in err and "hunter2" not in out + err


def test_only_the_named_worker_counts(healthcheck: ModuleType) -> None:
    app = Celery("t", broker="memory://tidewatch", backend="cache+memory://")
    with start_worker(app, perform_ping_check=False, pool="solo", hostname="celery@here") as worker:
        assert healthcheck.pings("memory://tidewatch", str(worker.hostname))
        assert not healthcheck.pings("memory://tidewatch", "celery@elsewhere")


def test_the_image_check_and_wrong_use(healthcheck: ModuleType) -> None:
    assert healthcheck.main(["image"]) == 0
    assert healthcheck.main(["nonsense"]) == 2
