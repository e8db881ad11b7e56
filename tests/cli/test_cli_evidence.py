"""`tidewatch evidence`, `tidewatch findings`, what reads anchors; the page for auditors, run as it stands."""

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_desk import Desk

from tidewatch.core.database import connect
from tidewatch.core.regions import Region
from tidewatch.evidence import ledger, verify_evidence
from tidewatch.evidence.findings import open_finding
from tidewatch.local.s3 import LocalRegion

NOW = datetime(2026, 11, 22, 3, 4, 5, 678901, tzinfo=UTC)
PAGE = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text(encoding="utf-8")


def _fill(desk: Desk, count: int = 1) -> None:
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        for n in range(count):
            ledger.append(conn, kind="test.fact", subject=f"subject {n}", body={"n": n}, now=NOW)


def _cut_after(desk: Desk, seq: int) -> None:
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        for table in ("ledger", "head"):
            conn.execute(f"alter table evidence.{table} disable trigger all".encode())
        conn.execute(f"delete from evidence.ledger where seq > {seq}".encode())
        conn.execute(
            b"update evidence.head set (seq, hash) = (select seq, hash from evidence.ledger "
            b"order by seq desc limit 1)"
        )


def _download(region: Region, target: Path) -> Path:
    """What any S3 client does."""
    for listed in region.store.list(f"{region.config.prefix}/"):
        path = target / listed.key.removeprefix(f"{region.config.prefix}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(region.store.read(listed.key))
    return target


def test_anchors_are_found_by_whoever_compares_and_are_nobodys_orphans(desk: Desk) -> None:
    assert desk("evidence", "anchor").out == "The ledger has no record yet: there is nothing to anchor\n"
    _fill(desk, 3)
    said = desk("evidence", "anchor", "--reason", "audit")
    assert (said.code, said.err) == (0, "")
    assert said.out.count("verified, locked until") == 3
    compared = desk("ledger", "verify", "--region", "cn-north")
    assert (
        compared.code == 0
        and "Compared with record 3, signed in the anchor tidewatch/anchors/" in compared.out
    )
    listed = desk("orphans", "list", "--json")
    assert listed.code == 0, listed.out
    assert [(f["orphans"], f["strays"], f["kept"]) for f in listed.json] == [([], 0, [])] * 3
    assert desk("orphans", "remove", "--yes").code == 0
    assert desk("ledger", "verify", "--region", "cn-north").code == 0

    region = desk.rig.regions[0]
    (listed,) = region.store.list(f"{region.config.prefix}/anchors/")
    region.store.delete(listed.key)
    hidden = desk("ledger", "verify", "--region", "cn-east")
    assert hidden.code == 1 and "somebody hid it" in hidden.out and "Compared with record 3" in hidden.out

    _cut_after(desk, 2)
    assert desk("ledger", "verify").code == 0, "the database by itself cannot know"
    cut = desk("ledger", "verify", "--region", "cn-south")
    assert cut.code == 1 and "cut from the end" in cut.out


def test_of_manifest_and_anchor_the_higher_head_counts_and_a_rebuild_knows_both(backed_up: Desk) -> None:
    _fill(backed_up)
    assert backed_up("evidence", "anchor").code == 0
    anchored = backed_up("ledger", "verify", "--region", "cn-east", "--json").json["anchor"]
    assert anchored["backup_id"] is None and "/anchors/" in anchored["key"]
    heads = [c for c in backed_up("doctor", "--json").json["checks"] if c["name"] == "head"]
    assert [c["state"] for c in heads] == ["ok"] * 3
    assert f"vouches for record {anchored['head']['seq']} of" in heads[0]["found"]
    backed_up.rig.back_up("media", "run-2")
    later = backed_up("ledger", "verify", "--region", "cn-east", "--json").json["anchor"]
    assert later["backup_id"] is not None and later["head"]["seq"] > anchored["head"]["seq"]

    assert backed_up("evidence", "anchor").code == 0
    newest = backed_up("ledger", "verify", "--region", "cn-east", "--json").json["anchor"]
    with connect(backed_up.rig.warehouse, application_name="tests") as conn:  # the database is lost
        for table in ("ledger", "head"):
            conn.execute(f"alter table evidence.{table} disable trigger all".encode())
        conn.execute(b"truncate evidence.ledger, vault.backups cascade")
        conn.execute(b"update evidence.head set seq = 0, hash = repeat('0', 64)")
        for table in ("ledger", "head"):
            conn.execute(f"alter table evidence.{table} enable trigger all".encode())
    rebuilt = backed_up("catalog", "rebuild", "--region", "cn-east")
    assert rebuilt.code == 0 and "an anchor of its own" in rebuilt.out
    said = backed_up("ledger", "verify", "--region", "cn-east", "--json")
    assert said.json["chain_before"]["hash"] == newest["head"]["hash"]
    assert (said.code, said.json["problems"]) == (0, []), (
        "the region's newer anchors belong to the lost chain"
    )
    backed_up("evidence", "anchor")
    again = backed_up("ledger", "verify", "--region", "cn-east", "--json")
    assert again.code == 0 and again.json["anchor"]["head"]["seq"] < newest["head"]["seq"]


def test_a_region_that_is_down_is_a_finding_that_closes_by_itself_or_by_a_person(
    desk: Desk, region_servers: list[LocalRegion]
) -> None:
    _fill(desk)
    region_servers[0].stop()
    said = desk("evidence", "anchor", "--json")
    assert said.code == 1
    assert [p["state"] for p in said.json["places"]] == ["failed", "verified", "verified"]
    listed = desk("findings", "list")
    assert listed.code == 1 and "ledger.not_anchored/cn-east" in listed.out
    region_servers[0].start()
    assert desk("evidence", "anchor").code == 0
    assert (desk("findings", "list").code, desk("findings", "list", "--json").json) == (0, [])


def test_a_finding_is_closed_by_a_person_who_is_named_and_shown_as_text(desk: Desk) -> None:
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        open_finding(
            conn, key="k\x1b[31m", kind="test.odd", severity="warning", source=None, region=None, subject="s",
            said_zh="奇怪", said_en="odd \x1b[2J", detail={}, now=NOW,
        )  # fmt: skip
    listed = desk("findings", "list", "--kind", "test.odd")
    assert listed.code == 1 and "\x1b" not in listed.out and r"odd \x1b[2J" in listed.out
    assert desk("findings", "list", "--kind", "other.kind").code == 0
    closed = desk("findings", "close", "k\x1b[31m", "--by", "Li Wei", "--reason", "looked at it")
    assert closed.code == 0 and "\x1b" not in closed.out
    again = desk("findings", "close", "k\x1b[31m", "--by", "Li Wei", "--reason", "looked at it")
    assert again.code == 3 and "no open finding" in again.err
    (record,) = desk.rig.query("select entry::jsonb #>> '{body,closed_by}' as by from evidence.ledger "
                               "where kind = 'finding.closed'")  # fmt: skip
    assert record["by"] == "Li Wei"
    assert desk("findings", "close", "k").code == 2


@pytest.mark.parametrize(
    ("source", "region", "code"),
    [("unused", "cn-east", 3), ("given_up", "cn-east", 0), ("unused", "given-up", 0)],
)
def test_a_finding_of_a_restore_test_is_closed_by_hand_only_where_nothing_will_test_it_again(
    desk: Desk, source: str, region: str, code: int
) -> None:
    key = f"restore.test/{source}/{region}/latest"
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        open_finding(
            conn, key=key, kind="restore.failed", severity="critical", source=source, region=region,
            subject="t", said_zh="不同", said_en="differs", detail={}, now=NOW,
        )  # fmt: skip
    said = desk("findings", "close", key, "--by", "Li Wei", "--reason", "it is fine")
    assert said.code == code, said.err
    assert ("a later restore test that passes" in said.err) == (code == 3)
    assert (key in desk("findings", "list").out) == (code == 3)


def _commands(pattern: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if re.match(pattern, line)]


def test_the_page_for_auditors_can_be_followed_as_it_stands(backed_up: Desk, tmp_path: Path) -> None:
    desk, here = backed_up, tmp_path / "auditor"
    here.mkdir()
    shutil.copy(verify_evidence.__file__, here)
    shutil.copy(desk.rig.settings.verify_key_file, here / "signing.pub.pem")

    def shell(command: str, **more: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            **more,
        }
        return subprocess.run(  # noqa: S602 - the commands of our own page
            command, shell=True, cwd=here, env=environment, capture_output=True, text=True, check=False
        )

    (noted,) = _commands("openssl pkey ")
    fingerprint = shell(noted).stdout.split()[0]
    assert fingerprint == desk.rig.keys.signing_key.public.fingerprint

    for line in _commands("tidewatch "):
        words = re.findall(r'"[^"]*"|\S+', line)[1:]
        given = [w.strip('"').replace("evidence.zip", str(here / "evidence.zip")) for w in words]
        assert desk(*given).code == 0, line

    one, two, _ = desk.rig.regions
    places = {
        "FINGERPRINT": fingerprint,
        "BUCKET": one.config.bucket,
        "PREFIX": one.config.prefix,
        "ENDPOINT": str(one.address.endpoint_url),
    }
    secrets = {
        "AWS_ACCESS_KEY_ID": one.address.access_key,
        "AWS_SECRET_ACCESS_KEY": one.address.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    online, downloaded = _commands("python3 verify_evidence.py")
    for name, value in places.items():
        online = online.replace(name, value)
    said = shell(online, **secrets)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "INTACT" in said.stdout and "are pinned by no region yet" in said.stdout

    if shutil.which("aws"):
        for line in _commands("aws "):
            for name, value in places.items():
                line = line.replace(name, value)
            fetched = shell(line, **secrets)
            assert fetched.returncode == 0, fetched.stderr
        names = {p.name for p in (here / "region-a").rglob("*.json")}
        assert "manifest.json" in names and len(names) == 2
    else:
        _download(one, here / "region-a")
    _download(two, here / "region-b")
    said = shell(downloaded)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "region-a: 2 heads fit" in said.stdout and "region-b: 2 heads fit" in said.stdout


def test_the_page_names_every_word_that_the_program_uses(desk: Desk) -> None:
    source = Path(verify_evidence.__file__).read_text(encoding="utf-8")
    used = set(re.findall(r'self\.problem\(\s*"([a-z_]+)"', source))
    assert used == set(
        re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\|[^|]*\|([^|]*)\|[^|]*\|$", PAGE, re.M)))
    )
    assert {str(code) for code in (0, 1, 2, 3)} == set(re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE))
