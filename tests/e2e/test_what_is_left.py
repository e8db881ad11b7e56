"""After all Dags have run: the ledger holds, and no log tells a secret."""

import json
from pathlib import Path
from typing import Any

import pytest

from tidewatch.core.signing import KeyRing
from tidewatch.evidence.verify import verify

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

REGIONS = {"cn-east", "cn-north", "cn-south"}


def test_after_all_of_it_the_ledger_holds_and_its_head_lies_in_every_region(demo: Any) -> None:
    with demo.warehouse() as conn:
        report = verify(conn)
    assert report.ok, report.problems
    for region in sorted(REGIONS):
        checked = demo.command("tidewatch.cli", "ledger", "verify", "--region", region)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert region in checked.stdout


def test_no_secret_of_the_stack_is_in_any_log(demo: Any) -> None:
    secrets = _secrets(demo.home)
    assert len(secrets) >= 8
    for path in [*demo.home.rglob("*.log"), *demo.home.rglob("*.json.log")]:
        text = path.read_text(encoding="utf-8", errors="replace")
        for name, secret in secrets.items():
            assert secret not in text, f"{name} is in {path}"


def _secrets(home: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (home / "env").read_text().splitlines():
        if "AIRFLOW_CONN_" in line and "{" in line:
            value = json.loads(line[line.index("{") : line.rindex("}") + 1])
            if value.get("password"):
                found[line.split("=")[0]] = value["password"]
    KeyRing.load(home / "keys" / "signing.pub.pem")
    found["signing key"] = "".join((home / "keys" / "signing.pem").read_text().splitlines()[1:2])
    identity = (home / "keys-offline" / "identity.txt").read_text()
    found["age identity"] = next(w for w in identity.split() if w.startswith("AGE-SECRET-KEY-"))
    for number, value in enumerate(json.loads((home / "airflow" / "passwords.json").read_text()).values()):
        found[f"login {number}"] = value
    return found
