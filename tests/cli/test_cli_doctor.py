"""`tidewatch doctor`: healthy when everything is; each check turns red for a real cause, and green again.

Most tests share one installation and leave it as they found it; those that cannot have one of their own.
"""

import json
import re
import secrets
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest
import yaml
from backup_rig import Rig
from catchers import HttpCatcher
from cli_desk import WAREHOUSE, Desk, postgres_connection
from pydantic import ValidationError

from tidewatch.backup.health.backups import Open, check_open
from tidewatch.backup.health.check import Check, Failure
from tidewatch.backup.health.examine import examine
from tidewatch.backup.health.ledger import STATE_FILE
from tidewatch.backup.health.limits import Limits
from tidewatch.backup.health.side_by_side import side_by_side
from tidewatch.backup.keys.signing import next_key_file
from tidewatch.backup.probe import Answer, ProbeReport, place_of
from tidewatch.backup.run import RunRef, stage
from tidewatch.core.connections import from_environment
from tidewatch.core.database import connect
from tidewatch.core.errors import TidewatchError
from tidewatch.core.regions import Region
from tidewatch.core.settings import load_settings
from tidewatch.core.signing import SigningKey
from tidewatch.core.traits import UNKNOWN
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.s3 import LocalRegion
from tidewatch.notices.notice import Notice
from tidewatch.notices.outbox import post
from tidewatch.vault import catalogue

SECRET = "s3cr3t-p4ssw0rd"
PROJECT = Path(__file__).parents[2]


class Patient:
    """An installation with one sealed backup, probed, with a configuration of its own."""

    def __init__(self, desk: Desk, place: Path) -> None:
        self.desk, self.rig = desk, desk.rig
        self.config, keys = place / "config", place / "own-keys"
        shutil.copytree(PROJECT / "config" / "gates", self.config / "gates")
        (self.config / "notices.yaml").write_text("channels: []\n")
        self.write("regions.yaml", self.rig.regions_file.model_dump())
        self.sources(*self.rig.sources)
        desk.set(TIDEWATCH_CONFIG_DIR=str(self.config), TIDEWATCH_HOME=str(place / "state"))
        keys.mkdir()
        for name in ("SIGNING_KEY_FILE", "VERIFY_KEY_FILE", "RECIPIENTS_FILE"):
            file = Path(desk.variables[f"TIDEWATCH_{name}"])
            shutil.copy(file, keys / file.name)
            desk.set(**{f"TIDEWATCH_{name}": str(keys / file.name)})
        self.keys = keys

    def sources(self, *sources: dict[str, Any]) -> None:
        self.write("sources.yaml", {"sources": list(sources)})

    def write(self, name: str, content: Any) -> None:
        (self.config / name).write_text(yaml.safe_dump(content), encoding="utf-8")

    def limits(self, **limits: Any) -> None:
        self.write("doctor.yaml", limits or {"retired_sources": []})

    def examine(self, **options: Any) -> dict[str, Check]:
        checks = examine(load_settings(), from_environment, self.rig.clock, **options)
        assert len({c.title for c in checks}) == len(checks), "each question once"
        return {c.title: c for c in checks}

    def bad(self, **options: Any) -> dict[str, str]:
        """Title -> state of everything that is not ok. What is wrong comes with what to do."""
        found = {t: c for t, c in self.examine(**options).items() if c.state != "ok"}
        assert all(c.do for c in found.values() if c.state in ("problem", "warning"))
        return {title: check.state for title, check in found.items()}

    def sql(self, *statements: str) -> None:
        """As a superuser, past the triggers."""
        with connect(self.rig.warehouse, application_name="tests") as conn:
            for statement in ("disable", *statements, "enable"):
                if statement not in ("disable", "enable"):
                    conn.execute(statement.encode())
                    continue
                for table in ("ledger", "head"):
                    conn.execute(f"alter table evidence.{table} {statement} trigger all".encode())


def _installed(rig: Rig) -> str:
    """One sealed backup of a directory, every region probed."""
    root = rig.home / "media"
    root.mkdir()
    (root / "a.txt").write_bytes(b"alpha")
    rig.files_source("media", root)
    outcome = rig.back_up("media")
    assert outcome.verdict == "sealed"
    with connect(rig.warehouse, application_name="tests") as conn:
        for region in rig.regions:
            answers = (Answer("reachable", "yes", True, True),)
            now = rig.clock()
            report = ProbeReport(region.name, place_of(region), now, now, answers, UNKNOWN)
            catalogue.save_probe(conn, region.name, report.started_at, report.to_json())
    return outcome.backup_id


@pytest.fixture(scope="module")
def shared(
    pg_server: LocalPostgres,
    _migrated: str,
    region_servers: list[LocalRegion],
    keys: Any,
    local_region_factory: Callable[..., Region],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Rig, str]]:
    name = f"doctor_{secrets.token_hex(4)}"
    with psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
        conn.execute(f"create database {name} template {_migrated}".encode())
    bucket = f"t-{secrets.token_hex(8)}"
    for server in region_servers:
        server.resume()
        server.start()
        server.create_bucket(bucket)
    regions = [local_region_factory(server, bucket) for server in region_servers]
    rig = Rig(tmp_path_factory.mktemp("doctor"), pg_server.dsn(name), regions, keys)
    yield rig, _installed(rig)
    pg_server.drop_database(name)


@pytest.fixture
def patient(
    shared: tuple[Rig, str],
    region_servers: list[LocalRegion],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Patient]:
    """The installation that tests share, with configuration and keys of its own for each of them."""
    rig, backup_id = shared
    for server in region_servers:
        server.resume()
        server.start()
    before = list(rig.sources), list(rig.regions)
    rig.clock.ahead = timedelta()
    desk = Desk(rig, monkeypatch, capsys)
    desk.backup_id = backup_id
    yield Patient(desk, tmp_path)
    rig.sources, rig.regions = before


@pytest.fixture
def own(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """One for a test that leaves traces."""
    desk.backup_id = _installed(desk.rig)
    return Patient(desk, tmp_path_factory.mktemp("own"))


def _files_source(patient: Patient, name: str = "other") -> dict[str, Any]:
    return {**patient.rig.sources[0], "name": name}


# -- the whole -----------------------------------------------------------------------------------------------


def test_a_healthy_installation_is_healthy_in_every_form_and_nothing_is_changed(patient: Patient) -> None:
    desk = patient.desk
    before = desk.rig.kinds(), desk.rig.notices()
    said = desk("doctor")
    assert (said.code, said.err) == (0, "") and "0 problems, 0 warnings, 0 not asked" in said.out
    assert "backup:media" in said.out and "head:cn-north" in said.out
    quiet = desk("doctor", "--quiet")
    assert (quiet.code, quiet.out) == (0, "")
    answer = desk("doctor", "--json").json
    assert answer["ok"] is True and {c["state"] for c in answer["checks"]} == {"ok"}
    names = {c["name"] for c in answer["checks"]}
    assert names == {
        "backup", "clock", "configuration", "database", "degraded", "disk", "head", "key-expiry", "ledger",
        "migrations", "notices", "orphans", "probe", "recipients", "region", "scheduler", "signing-key",
        "source", "succession", "suspect", "unfinished", "verify-keys",
    }  # fmt: skip
    metrics = desk("doctor", "--prometheus").out
    assert 'tidewatch_check{check="backup",subject="media"} 0\n' in metrics
    for line in metrics.splitlines():
        assert re.fullmatch(r'# .*|tidewatch_\w+(\{check="[\w-]+",subject="[^"]*"\})? \d+', line), line
    for secret in (desk.rig.regions[0].address.secret_key, desk.rig.keys.identity):
        assert secret not in said.out + metrics + json.dumps(answer)
    assert (desk.rig.kinds(), desk.rig.notices()) == before


def test_a_scheduler_that_does_not_run_is_found_by_the_backups_it_did_not_begin(own: Patient) -> None:
    rig = own.rig
    rig.clock.ahead = timedelta(hours=27)
    found = {t: c for t, c in own.examine(skip=["clock"]).items() if c.state != "ok"}
    assert set(found) == {"backup:media", "scheduler", "probe:cn-east", "probe:cn-north", "probe:cn-south"}
    assert {c.state for c in found.values()} == {"problem"}
    assert "no backup was begun for 1 d 3 h" in found["scheduler"].found
    rig.back_up("media", "run-2")
    assert set(own.bad(skip=["clock", "probe"])) == set()
    own.sources({**rig.sources[0], "max_age_hours": 26 + 27})
    rig.clock.ahead += timedelta(hours=40)
    assert own.bad(skip=["clock", "probe"]) == {}, "the policy is the source's own"


def test_an_attempt_that_failed_is_a_source_without_backup_and_not_a_dead_scheduler(own: Patient) -> None:
    rig = own.rig
    rig.clock.ahead = timedelta(hours=27)
    shutil.move(rig.sources[0]["path"], own.desk.home / "gone")
    with pytest.raises(TidewatchError):
        rig.back_up("media", "run-2")
    found = own.examine(skip=["clock", "probe"])
    assert {t for t, c in found.items() if c.state != "ok"} == {"backup:media", "source:media"}
    assert re.search(r"the last attempt, \d+ s ago, is failed: ", found["backup:media"].found)


def test_exit_codes_are_0_and_1_and_warnings_count_when_asked(patient: Patient) -> None:
    desk = patient.desk
    patient.write("keys.yaml", {"keys": [{"key_id": "0" * 16, "holder": "nobody"}]})
    assert desk("doctor").code == 0
    assert desk("doctor", "--strict").code == 1
    said = desk("doctor", "--quiet", "--strict", "--skip", "disk")
    assert "WARNING" in said.out and "To do: " in said.out and "disk" not in said.out
    assert desk("doctor", "--strict", "--skip", "key-expiry").code == 0
    patient.limits(disk_free_gib=10**9)
    assert desk("doctor").code == 1
    assert desk("doctor", "--skip", "disk:home", "--skip", "disk:data_docs").code == 0


# -- backups -------------------------------------------------------------------------------------------------


def test_a_source_that_was_never_backed_up_and_one_that_is_no_longer_configured(patient: Patient) -> None:
    patient.sources(_files_source(patient))
    assert patient.bad() == {
        "backup:other": "problem",
        "scheduler": "problem",
        "unconfigured:media": "warning",
    }
    patient.limits(retired_sources=["media"])
    assert "unconfigured:media" not in patient.bad()
    patient.sources(*patient.rig.sources)
    assert patient.bad() == {}


def test_a_backup_that_stays_degraded_or_staged_is_told_with_its_name(own: Patient) -> None:
    rig, now = own.rig, own.rig.clock()
    with connect(rig.warehouse, application_name="tests") as conn:
        catalogue.damaged(conn, own.desk.backup_id, now=now)
    assert own.bad() == {"backup:media": "warning"}, "young, and it heals"
    left = stage(rig.ctx, "media", RunRef(dag_id="tests", run_id="run-2")).backup_id
    rig.clock.ahead = timedelta(hours=25)
    found = own.bad(skip=["clock", "probe", "scheduler"])
    assert found == {
        "backup:media": "warning",
        f"degraded:{own.desk.backup_id}": "problem",
        f"unfinished:{left}": "problem",
    }
    with connect(rig.warehouse, application_name="tests") as conn:
        catalogue.healed(conn, own.desk.backup_id, now=rig.clock())
        catalogue.abandon(conn, left, "given up", now=rig.clock())
    assert own.bad(skip=["clock", "probe"]) == {}


def test_a_suspect_backup_may_wait_for_a_person_and_not_for_ever(patient: Patient) -> None:
    now = patient.rig.clock()
    rows = [Open("ops-1", "suspect", now - timedelta(hours=h)) for h in (23, 25)]
    (young,) = (c for c in check_open(rows[:1], Limits(), now) if c.name == "suspect")
    assert (young.state, young.found) == ("ok", "1 for now, none too long")
    (old,) = (c for c in check_open(rows, Limits(), now) if c.name == "suspect")
    assert old.state == "problem" and "1 d 1 h" in old.found and "show ops-1" in old.do


# -- regions -------------------------------------------------------------------------------------------------


def test_a_region_that_is_down_is_one_answer_and_all_others_are_still_asked(
    patient: Patient, region_servers: list[LocalRegion]
) -> None:
    region_servers[1].stop()
    assert patient.bad() == {"region:cn-north": "problem", "head:cn-north": "unknown"}
    patient.rig.configure("cn-north", required=False)
    patient.write("regions.yaml", patient.rig.regions_file.model_dump())
    assert patient.bad()["region:cn-north"] == "warning"
    region_servers[1].start()
    assert patient.bad() == {}


def test_a_region_that_was_found_lacking_or_never_probed(own: Patient) -> None:
    own.sql(
        "update vault.probes set report = jsonb_set(report, '{usable}', 'false') where region = 'cn-east'",
        "delete from vault.probes where region = 'cn-south'",
    )
    assert own.bad() == {"probe:cn-east": "problem", "probe:cn-south": "problem"}
    assert own.desk("region", "probe", "--record").code == 0
    assert own.bad() == {}


def test_a_clock_that_is_wrong_is_told_against_every_region_and_the_database(patient: Patient) -> None:
    for minutes in (10, -10):
        patient.rig.clock.ahead = timedelta(minutes=minutes)
        assert patient.bad() == {"clock:database": "problem"}, "these regions send no time"
    patient.rig.clock.ahead = timedelta()
    assert patient.bad() == {}
    with _store_with_a_clock(timedelta(minutes=10)) as url:
        extra = {"endpoint_url": url, "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": "k", "password": "s", "extra": extra}
        patient.desk.set(AIRFLOW_CONN_TIDEWATCH_REGION_CN_EAST=json.dumps(connection))
        found = patient.examine()["clock:cn-east"]
        assert found.state == "problem" and re.match(r"\+(600|599|598) s", found.found), found
        patient.limits(clock_skew_seconds=700)
        checks = patient.examine()
        assert checks["clock:cn-east"].state == "ok"
        assert checks["probe:cn-east"].state == "warning" and url in checks["probe:cn-east"].found
    with _store_with_a_clock(timedelta(), "the day before yesterday") as url:
        connection["extra"] = {"endpoint_url": url, "region_name": "us-east-1"}
        patient.desk.set(AIRFLOW_CONN_TIDEWATCH_REGION_CN_EAST=json.dumps(connection))
        found = patient.examine()["clock:cn-east"]
        assert (found.state, found.found) == ("ok", "it sends no time; the daily probe measures it")


@contextmanager
def _store_with_a_clock(ahead: timedelta, words: str = "") -> Iterator[str]:
    """A store that sends the time, which is wrong by `ahead`, or `words` in its place."""

    class Store(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            body = b"<VersioningConfiguration/>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return words or super().date_time_string((datetime.now(UTC) + ahead).timestamp())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_bucket_that_is_gone_and_a_connection_that_is_missing(patient: Patient) -> None:
    patient.rig.configure("cn-east", bucket="no-such-bucket")
    patient.write("regions.yaml", patient.rig.regions_file.model_dump())
    patient.desk.set(AIRFLOW_CONN_TIDEWATCH_REGION_CN_SOUTH=None)
    found = patient.examine()
    assert "no bucket no-such-bucket" in found["region:cn-east"].found
    assert "tidewatch_region_cn_south" in found["region:cn-south"].do
    assert found["region:cn-north"].state == "ok" == found["head:cn-north"].state


def test_what_a_stranger_or_an_attempt_of_long_ago_left_in_a_region_is_told(patient: Patient) -> None:
    store = patient.rig.regions[0].store
    version = store.put("tidewatch/strange.txt", b"x", if_absent=False).version_id
    found = patient.examine()["orphans:cn-east"]
    assert found.state == "warning" and "strange.txt" in found.found
    store.delete("tidewatch/strange.txt", version)
    assert patient.bad() == {}
    store.multipart("tidewatch/media/2026/01/media-20260101T000000Z-00000000/objects/a")
    patient.rig.clock.ahead = timedelta(days=4)
    found = patient.examine()["orphans:cn-east"]
    assert found.state == "warning" and "the oldest of 4 d" in found.found


# -- the ledger ----------------------------------------------------------------------------------------------


def test_an_altered_record_is_found_and_its_restoration_too(patient: Patient) -> None:
    alter = "update evidence.ledger set entry = replace(entry, '{}', '{}') where seq = 2"
    patient.sql(alter.format('"tests"', '"tasts"'))
    found = patient.examine()
    assert found["ledger"].state == "problem" and "record 2: " in found["ledger"].found
    patient.sql(alter.format('"tasts"', '"tests"'))
    assert patient.bad() == {}


def test_a_long_ledger_is_read_since_the_last_check_and_whole_when_asked(own: Patient) -> None:
    own.limits(ledger_full_records=0)
    assert "records checked, head" in own.examine()["ledger"].found, "the first time it is read whole"
    assert "1 records checked since record" in own.examine()["ledger"].found
    for damaged in ("[" * 100_000, "null", ""):
        (load_settings().home / STATE_FILE).write_text(damaged)
        assert "records checked, head" in own.examine()["ledger"].found, "whole again"
    own.sql("update evidence.ledger set entry = replace(entry, '\"tests\"', '\"tasts\"') where seq = 2")
    assert own.bad() == {}
    assert own.bad(full=True) == {"ledger": "problem"}
    own.sql(
        "update evidence.ledger set entry = replace(entry, '\"tasts\"', '\"tests\"') where seq = 2",
    )
    own.rig.back_up("media", "run-2")
    assert own.bad() == {}
    own.rig.back_up("media", "run-3")
    own.sql(
        "update evidence.ledger set entry = entry || ' ' where seq = (select max(seq) - 2 from evidence.head)"
    )
    assert own.bad() == {"ledger": "problem"}


def test_an_end_that_was_cut_off_is_found_by_every_region_and_by_the_last_check(own: Patient) -> None:
    own.limits(ledger_full_records=0)
    assert own.bad() == {}
    head = int(own.rig.get(own.desk.backup_id).manifest.ledger_head["seq"])  # type: ignore[index, arg-type]
    own.sql(
        f"delete from evidence.ledger where seq >= {head}",
        "update evidence.head set (seq, hash) = (select seq, hash from evidence.ledger "
        "order by seq desc limit 1)",
    )
    cut = {f"head:{name}": "problem" for name in ("cn-east", "cn-north", "cn-south")}
    assert own.bad() == {**cut, "ledger": "problem"}
    state = load_settings().home / "doctor-ledger.json"
    state.unlink()
    assert own.bad() == cut, "the database by itself cannot know"


def test_a_region_that_vouches_for_another_record_is_a_fork(patient: Patient) -> None:
    head = patient.rig.get(patient.desk.backup_id).manifest.ledger_head
    assert head
    patient.sql(f"update evidence.ledger set hash = repeat('0', 64) where seq = {head['seq']}")
    found = patient.examine()
    for name in ("cn-east", "cn-north", "cn-south"):
        assert "another record" in found[f"head:{name}"].found
    patient.sql(f"update evidence.ledger set hash = '{head['hash']}' where seq = {head['seq']}")
    assert patient.bad() == {}


# -- keys ----------------------------------------------------------------------------------------------------


def test_keys_near_and_past_their_date_and_keys_that_nobody_entered(patient: Patient) -> None:
    today = patient.rig.clock().date()
    ids = [c.title.partition(":")[2] for c in patient.examine().values() if c.name == "key-expiry"]
    assert ids == [""]
    listed = patient.desk("keys", "list", "--json").json
    signing, recipient = listed["signing"][0]["key_id"], listed["encryption"][0]["key_id"]

    def enter(key_id: str, days: int | None) -> dict[str, Any]:
        entry = {"key_id": key_id, "holder": "Li Wei"}
        return entry if days is None else {**entry, "expires": today + timedelta(days=days)}

    def states(*keys: dict[str, Any]) -> dict[str, str]:
        patient.write("keys.yaml", {"keys": list(keys)})
        return {t.partition(":")[2]: s for t, s in patient.bad().items()}

    assert states(enter(signing, -1), enter(recipient, 0)) == {signing: "problem", recipient: "warning"}
    assert states(enter(signing, None), enter(recipient, 29)) == {recipient: "warning"}
    assert states(enter(signing, 31)) == {recipient: "warning"}, "not entered"
    assert states(enter(signing, 31), enter(recipient, 31)) == {}


def test_key_files_that_are_missing_open_to_others_or_no_pair(patient: Patient) -> None:
    signing = patient.keys / "signing.pem"
    signing.chmod(0o644)
    assert patient.bad() == {"signing-key": "problem"}
    signing.chmod(0o640)
    assert patient.bad() == {}, "compose gives secrets to a group"
    assert stat.S_IMODE(signing.stat().st_mode) == 0o640
    for name, broken in (
        ("signing.pem", {"signing-key": "problem"}),
        ("recipients.txt", {"recipients": "problem"}),
    ):
        (patient.keys / name).rename(patient.keys / "away")
        assert patient.bad() == broken
        (patient.keys / "away").rename(patient.keys / name)
    ring = patient.keys / "signing.pub.pem"
    own = ring.read_bytes()
    ring.unlink()
    heads = {f"head:{name}": "unknown" for name in ("cn-east", "cn-north", "cn-south")}
    assert patient.bad() == {"verify-keys": "problem", **heads}
    SigningKey.generate().public.save(ring)
    found = patient.bad()
    assert found["verify-keys"] == "problem" == found["head:cn-east"]
    ring.write_bytes(own + SigningKey.generate().public.pem)
    assert list(patient.bad().values()) == ["warning"], "a key that nobody named"
    ring.write_bytes(own)
    SigningKey.generate().save(next_key_file(signing))
    assert patient.bad() == {"signing-key": "warning"}
    assert patient.desk("keys", "rotate", "signing").code == 0
    assert patient.bad() == {}


def test_a_record_of_a_rotation_that_was_forged_is_a_problem(own: Patient) -> None:
    assert own.desk("keys", "rotate", "signing").code == 0
    assert own.bad() == {}
    (record,) = own.rig.query("select seq, entry from evidence.ledger where kind = 'keys.rotated'")
    value = json.loads(record["entry"])["body"]["signature"]
    forged = ("B" if value[0] == "A" else "A") + value[1:]
    own.sql(f"update evidence.ledger set entry = replace(entry, '{value}', '{forged}')")
    (found,) = (c for c in own.examine().values() if c.name == "succession")
    assert found.state == "problem" and "has no good signature" in found.found


# -- machine and configuration ---------------------------------------------------------------------------


def test_a_dead_database_is_an_answer_and_regions_and_keys_are_still_asked(patient: Patient) -> None:
    patient.desk.set(**{WAREHOUSE: postgres_connection(patient.rig.warehouse, schema="nil", password=SECRET)})
    said = patient.desk("doctor", "--json")
    assert said.code == 1 and SECRET not in said.out + said.err
    states = {(c["name"], c["subject"]): c["state"] for c in said.json["checks"]}
    assert states["database", ""] == "problem" and states["backup", ""] == "unknown"
    assert states["region", "cn-east"] == "ok" == states["signing-key", ""] == states["disk", "home"]
    assert [n for (n, _), s in states.items() if s == "problem"] == ["database"]


def test_an_empty_database_says_that_it_was_not_migrated(patient: Patient, database: str) -> None:
    patient.desk.set(**{WAREHOUSE: postgres_connection(database)})
    found = patient.examine()
    assert found["migrations"].state == "problem" and "0002_evidence.sql" in found["migrations"].found
    assert found["backup"].do == "run `tidewatch db migrate`" and found["database"].state == "ok"
    assert patient.desk("db", "migrate").code == 0
    assert patient.examine()["migrations"].state == "ok"


def test_a_configuration_file_with_a_mistake_stops_only_what_needs_it(patient: Patient) -> None:
    for name in ("sources.yaml", "regions.yaml", "notices.yaml", "gates/backup.yaml"):
        file = patient.config / name
        good = file.read_text()
        file.write_text("nonsense: [")
        found = {t for t, s in patient.bad().items() if s == "problem"}
        assert found == {f"configuration:{'gates' if '/' in name else name}"}, name
        file.write_text(good)
    patient.write("doctor.yaml", {"disc_free_gib": 1})
    assert patient.bad() == {"configuration:doctor.yaml": "problem"}
    patient.limits()
    patient.sources({**patient.rig.sources[0], "data_class": "unheard_of"})
    assert patient.bad() == {"configuration:plan of media": "problem"}


@pytest.mark.parametrize("limit", ["timeout_seconds", "degraded_hours", "probe_hours", "notice_hours"])
@pytest.mark.parametrize("value", [float("inf"), 1e12, float("nan"), 0])
def test_a_limit_that_is_no_length_of_time_is_refused(limit: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate({limit: value})


def test_the_shipped_configuration_can_be_read_and_sets_the_defaults(desk: Desk) -> None:
    from tidewatch.backup.health.limits import read_limits
    from tidewatch.core.keysfile import KeysFile, read_keys_file

    assert read_limits(PROJECT / "config") == Limits()
    assert read_keys_file(PROJECT / "config") == KeysFile()


def test_little_room_and_a_large_database_by_their_limits(patient: Patient) -> None:
    patient.limits(disk_free_gib=10**9, database_gib=0.000001)
    assert patient.bad() == {"disk:home": "problem", "disk:data_docs": "problem", "database": "warning"}
    patient.limits()
    assert patient.bad() == {}


def test_a_source_that_cannot_be_reached_or_needs_a_newer_pg_dump(
    patient: Patient, pg_server: LocalPostgres, database: str, tmp_path: Path
) -> None:
    rig = patient.rig
    rig.postgres_source("shop", database)
    patient.sources(*rig.sources)
    variable = "AIRFLOW_CONN_SOURCE_SHOP"
    patient.desk.set(**{variable: postgres_connection(database)})
    assert patient.bad() == {"backup:shop": "problem"}
    assert "read by pg_dump" in patient.examine()["source:shop"].found
    old = tmp_path / "old"
    old.mkdir()
    for name in ("pg_dump", "pg_dumpall"):
        (old / name).write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.1'\n")
        (old / name).chmod(0o755)
    patient.desk.set(TIDEWATCH_PG_BIN_DIR=str(old))
    assert "no pg_dump that can read this server" in patient.examine()["source:shop"].found
    patient.desk.set(
        TIDEWATCH_PG_BIN_DIR=None, **{variable: postgres_connection(database, password=SECRET, port=1)}
    )
    shown = patient.examine()["source:shop"]
    assert shown.state == "problem" and SECRET not in str(shown)


def test_a_notice_that_no_channel_took_is_told(patient: Patient) -> None:
    patient.write("notices.yaml", {"channels": [{"name": "mail", "url_env": "TIDEWATCH_NOTICE_MAIL_URL"}]})
    notice = Notice(
        fact="f", severity="critical", act_now=True, title_zh="题", title_en="t", body_zh="文", body_en="b",
        next_step_zh="步", next_step_en="s",
    )  # fmt: skip
    now = patient.rig.clock()
    with connect(patient.rig.warehouse, application_name="tests") as conn:
        post(conn, notice.model_copy(update={"fact": "young"}), now - timedelta(hours=5))
        post(conn, notice.model_copy(update={"fact": "small", "severity": "info"}), now - timedelta(hours=7))
    assert patient.bad() == {}
    with connect(patient.rig.warehouse, application_name="tests") as conn:
        post(conn, notice, now - timedelta(hours=7))
    assert patient.bad() == {"notices": "problem"}
    patient.sql(
        "insert into notices.channels values ('mail', now() - interval '1 day')",
        "insert into notices.deliveries (fact, channel, state, sent_at) values ('f', 'mail', 'sent', now())",
    )
    assert patient.bad() == {}
    patient.sql("delete from notices.outbox", "delete from notices.channels")


def test_problems_are_told_at_once_and_once_a_day_also_without_a_database(patient: Patient) -> None:
    channel = {"name": "hook", "url_env": "TIDEWATCH_NOTICE_HOOK_URL", "min_severity": "critical"}
    patient.write("notices.yaml", {"channels": [channel]})
    catcher = HttpCatcher()
    try:
        patient.desk.set(TIDEWATCH_NOTICE_HOOK_URL=catcher.url)
        assert patient.desk("doctor", "--tell").code == 0 and catcher.received == []
        patient.limits(disk_free_gib=10**9)
        for _ in range(2):
            said = patient.desk("doctor", "--quiet", "--tell")
            assert said.code == 1 and "not told" not in said.out
        (told,) = catcher.received
        assert "disk:home" in told["message"] and "自检发现 2 个问题" in told["title"]
        patient.desk.set(**{WAREHOUSE: postgres_connection(patient.rig.warehouse, schema="nil")})
        assert patient.desk("doctor", "--quiet", "--tell").code == 1
        assert len(catcher.received) == 2 and "database: " in catcher.received[1]["message"]
    finally:
        catcher.stop()
    patient.sql("delete from notices.outbox", "delete from notices.channels")


def test_a_question_that_hangs_or_breaks_does_not_hold_up_the_others() -> None:
    release = threading.Event()

    def broken() -> str:
        raise RuntimeError(f"postgres://u:{SECRET}@db/x")

    questions: dict[str, Callable[[], object]] = {
        "hangs": lambda: release.wait(60), "breaks": broken, "answers": lambda: "yes",
    }  # fmt: skip
    answers = side_by_side(questions, 0.5)
    release.set()
    assert answers["answers"] == "yes"
    assert answers["hangs"] == Failure(
        "no answer within 0.5 s", "find out why it hangs; `timeout_seconds` in doctor.yaml"
    )
    assert isinstance(answers["breaks"], Failure) and "RuntimeError" in answers["breaks"].found
    assert SECRET not in str(answers)


# -- keys on the command line ----------------------------------------------------------------------------


_LEAVES_A_SLOW_REGION = """
import threading, time
from types import SimpleNamespace
from tidewatch.backup.orphans import _Search

asked, calls = threading.Event(), []

def head(key, version_id):
    print(key, flush=True)
    time.sleep(0.02)
    calls.append(key)
    if len(calls) == 40:
        asked.set()
    return SimpleNamespace(retain_until=None)

version = SimpleNamespace(key="k", version_id="v", delete_marker=False, size=1, last_modified=None)
search = _Search(None, SimpleNamespace(store=SimpleNamespace(head=head)), set())
threading.Thread(target=search._with_locks, args=([(version, None)] * 2000,), daemon=True).start()
asked.wait()
"""


def test_a_region_that_is_slow_about_its_locks_does_not_keep_the_process_from_ending() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LEAVES_A_SLOW_REGION], capture_output=True, text=True, check=True, timeout=60
    )
    assert 1 <= len(done.stdout.splitlines()) < 1000, "it went on with all that it had meant to ask"


def test_keys_are_rotated_listed_and_shown_with_who_holds_them(own: Patient) -> None:
    desk, home = own.desk, own.desk.home
    pair = pyrage.x25519.Identity.generate()
    (home / "new.txt").write_text(f"{pair.to_public()}\n")
    old = desk("keys", "list", "--json").json["encryption"][0]["key_id"]
    said = desk("keys", "rotate", "recipients", "--add", str(home / "new.txt"), "--remove", old)
    assert (said.code, said.err) == (0, "") and f"keep the private half of {old}" in said.out
    again = desk("keys", "rotate", "recipients", "--add", str(home / "new.txt"), "--remove", old)
    assert again.code == 0 and "nothing to do" in again.out and f"not removed: {old}" in again.err
    own.write("keys.yaml", {"keys": [{"key_id": old, "holder": "Li Wei", "expires": "2027-01-01"}]})
    first = desk("keys", "list", "--json").json["signing"][0]["key_id"]
    said = desk("keys", "rotate", "signing", "--replace", first)
    assert said.code == 0 and f"what {first} signed stays verifiable" in said.out
    assert "nothing to do" in desk("keys", "rotate", "signing", "--replace", first).out
    listed = desk("keys", "list", "--json").json
    assert [(k["key_id"] == old, k["state"], k["backups"]) for k in listed["encryption"]] == [
        (False, "in use", 0), (True, "earlier", 1),
    ]  # fmt: skip
    assert [(k["state"], k["vouched_by"], k["backups"]) for k in listed["signing"]] == [
        ("in use", first, 0), ("earlier", None, 1),
    ]  # fmt: skip
    table = desk("keys", "list").out
    assert "Li Wei" in table and "2027-01-01" in table
    shown = desk("backup", "show", desk.backup_id)
    assert f"opened by: {old} (Li Wei)" in shown.out and f"signed by: {first}" in shown.out
    as_json = desk("backup", "show", desk.backup_id, "--json").json
    assert (as_json["encrypted_to"], as_json["signed_by"]) == ([old], first)
    assert desk("backup", "verify", desk.backup_id).code == 0
    assert desk("ledger", "verify", "--region", "cn-east").code == 0


def test_without_anything_to_change_the_recipients_are_left_alone(patient: Patient) -> None:
    said = patient.desk("keys", "rotate", "recipients")
    assert said.code == 2 and "--add or --remove" in said.err
    said = patient.desk("keys", "rotate", "recipients", "--add", str(patient.keys / "signing.pem"))
    assert said.code == 3 and "secret key" in said.err and "PRIVATE" not in said.err
