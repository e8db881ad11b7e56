"""One command makes every secret, once, where only its owner and the containers can read it."""

import json
import stat
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet

from tidewatch.core.config import read_yaml
from tidewatch.core.regions import RegionsFile
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.core.sources import SourcesFile
from tidewatch.vault.envelope import load_recipients


def test_it_makes_exactly_the_files_that_the_compose_file_names(
    compose: dict[str, Any], secrets_directory: Path
) -> None:
    named = {Path(secret["file"]) for secret in compose["secrets"].values()}
    assert {path.parent for path in named} == {Path("compose/secrets")}
    assert {path.name for path in named} == {path.name for path in secrets_directory.iterdir()}


def test_other_users_of_the_host_cannot_reach_them(secrets_directory: Path) -> None:
    offline = secrets_directory.parent / "offline"
    assert stat.S_IMODE(secrets_directory.stat().st_mode) == stat.S_IMODE(offline.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in secrets_directory.iterdir()} == {0o640}
    assert {stat.S_IMODE(p.stat().st_mode) for p in offline.iterdir()} == {0o600}


def test_the_key_that_opens_backups_is_kept_apart(secrets_directory: Path) -> None:
    assert [p.name for p in (secrets_directory.parent / "offline").iterdir()] == ["identity.txt"]
    for path in secrets_directory.iterdir():
        assert "AGE-SECRET-KEY" not in path.read_text(encoding="utf-8")


def test_running_it_again_changes_nothing(make_secrets: ModuleType, tmp_path: Path) -> None:
    arguments = ["--dir", str(tmp_path / "s"), "--offline-dir", str(tmp_path / "o")]
    assert make_secrets.main(arguments) == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert make_secrets.main(arguments) == 0
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_lost_file_is_made_again_from_those_that_are_left(make_secrets: ModuleType, tmp_path: Path) -> None:
    arguments = ["--dir", str(tmp_path / "s"), "--offline-dir", str(tmp_path / "o")]
    assert make_secrets.main(arguments) == 0
    for name in ("connections.json", "airflow_sql_alchemy_conn", "celery_broker_url"):
        lost = tmp_path / "s" / name
        content = lost.read_bytes()
        lost.unlink()
        assert make_secrets.main(arguments) == 0
        assert lost.read_bytes() == content


def test_no_two_secrets_are_the_same(secrets_directory: Path) -> None:
    single = [p.read_text(encoding="utf-8") for p in secrets_directory.glob("*_password")]
    single += [(secrets_directory / f"airflow_{n}_key").read_text() for n in ("fernet", "api_secret")]
    single.append((secrets_directory / "airflow_jwt_secret").read_text())
    single += [pair["secretKey"] for name in _region_files(secrets_directory) for pair in _pairs(name)]
    assert len(set(single)) == len(single) == 4 + 3 + 6
    assert all(len(value) >= 40 for value in single)


def test_the_keys_are_of_the_kind_that_their_readers_expect(secrets_directory: Path) -> None:
    key = SigningKey.load(secrets_directory / "signing.pem")
    signature = key.sign(b"manifest")
    KeyRing.load(secrets_directory / "signing.pub.pem").verify(b"manifest", signature)
    assert len(load_recipients(secrets_directory / "recipients.txt").items) == 1
    Fernet((secrets_directory / "airflow_fernet_key").read_bytes())
    assert set(json.loads((secrets_directory / "airflow_users.json").read_text())) == {"admin"}


def test_passwords_agree_wherever_they_are_quoted(secrets_directory: Path) -> None:
    def read(name: str) -> str:
        return (secrets_directory / name).read_text(encoding="utf-8").strip()

    redis = next(x.split()[1] for x in read("redis.conf").splitlines() if x.startswith("requirepass"))
    assert read("celery_broker_url") == f"redis://:{redis}@redis:6379/0"
    assert read("celery_result_backend") == f"redis://:{redis}@redis:6379/1"
    airflow = read("postgres_airflow_password")
    assert (
        read("airflow_sql_alchemy_conn") == f"postgresql+psycopg2://airflow:{airflow}@postgres:5432/airflow"
    )
    known = json.loads(read("connections.json"))
    assert known["tidewatch_warehouse"]["password"] == read("postgres_tidewatch_password")
    for source in ("airflow", "tidewatch"):
        connection = known[f"tidewatch_source_{source}"]
        assert (connection["login"], connection["schema"]) == ("tidewatch_backup", source)
        assert connection["password"] == read("postgres_backup_password")


def test_workers_are_given_the_lesser_identity_of_each_region(secrets_directory: Path) -> None:
    console = json.loads((secrets_directory / "console_connections.json").read_text())
    assert set(console) == {"tidewatch_warehouse"}
    for file, wanted in (("connections.json", "tidewatch"), ("setup_connections.json", "setup")):
        known = json.loads((secrets_directory / file).read_text())
        for path in _region_files(secrets_directory):
            identities = {i["name"]: i for i in json.loads(path.read_text())["identities"]}
            connection = known[f"tidewatch_{path.stem}"]
            pair = identities[wanted]["credentials"][0]
            assert (connection["login"], connection["password"]) == (pair["accessKey"], pair["secretKey"])
            bucket = f"tidewatch-{path.stem.removeprefix('region_').replace('_', '-')}"
            assert all(action.endswith(f":{bucket}") for action in identities["tidewatch"]["actions"])
            assert not any(a.startswith(("Admin", "Bypass")) for a in identities["tidewatch"]["actions"])


def test_connections_lead_to_services_of_the_compose_file(
    compose: dict[str, Any], secrets_directory: Path
) -> None:
    known = json.loads((secrets_directory / "connections.json").read_text())
    hosts = {c.get("host") or c["extra"]["endpoint_url"].split("//")[1].split(":")[0] for c in known.values()}
    assert hosts == {"postgres", "region-cn-east", "region-cn-north", "region-cn-south"}
    assert hosts <= set(compose["services"])


def test_the_shipped_configuration_needs_only_connections_that_are_made(
    project: Path, secrets_directory: Path
) -> None:
    sources = read_yaml(project / "compose/config/sources.yaml", SourcesFile).sources
    regions = read_yaml(project / "compose/config/regions.yaml", RegionsFile)
    wanted = {r.connection for r in regions.regions} | {"tidewatch_warehouse"}
    wanted |= {s.connection for s in sources if s.connection is not None}
    assert wanted == set(json.loads((secrets_directory / "connections.json").read_text()))
    assert {s.data_class for s in sources} <= set(regions.residency)
    for region in regions.regions:
        rights = json.loads((secrets_directory / f"region_{region.name.replace('-', '_')}.json").read_text())
        assert f"Write:{region.bucket}" in rights["identities"][1]["actions"]


@pytest.mark.parametrize("source", ["airflow_metadata", "tidewatch_warehouse"])
def test_our_own_databases_are_judged_as_in_the_demo(project: Path, source: str) -> None:
    gates = []
    for directory in ("config", "compose/config"):
        listed = yaml.safe_load((project / directory / "sources.yaml").read_text())["sources"]
        gates.append(next(s for s in listed if s["name"] == source)["gate"])
    assert gates[0] == gates[1], f"copy `gate` of {source} to compose/config/sources.yaml"


def _region_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("region_*.json"))


def _pairs(path: Path) -> list[dict[str, str]]:
    return [i["credentials"][0] for i in json.loads(path.read_text())["identities"]]
