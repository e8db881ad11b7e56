"""docs/ledger.md tells an auditor how to check the ledger without us: here its own commands do it."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from ledger_tools import NOW, add, forge, triggers_off

from tidewatch.core.database import connect
from tidewatch.core.settings import load_settings
from tidewatch.core.signing import SigningKey
from tidewatch.evidence.anchor import sign_head
from tidewatch.evidence.ledger import append, head
from tidewatch.evidence.schemas import SCHEMAS

PAGE = (load_settings().project / "docs" / "ledger.md").read_text(encoding="utf-8")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (code,) = (c for c in re.findall(r" *```python\n(.*?)```", PAGE, re.DOTALL) if "hashlib" in c)
    path = tmp_path / "check.py"
    path.write_text(textwrap.dedent(code), encoding="utf-8")
    return path


def export(dsn: str, bin_dir: Path, target: Path) -> Path:
    match = re.search(r'psql "\$DSN" (.*?) -c "(.*?)" > ledger.txt', PAGE)
    assert match is not None
    command = [str(bin_dir / "psql"), dsn, *match[1].split(), "-c", match[2]]
    target.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    return target


def run(script: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", str(script), *args], capture_output=True, text=True, check=False
    )


def test_the_script_of_the_page_confirms_a_sound_ledger_and_names_the_first_bad_record(
    warehouse: str, pg_server: object, script: Path, tmp_path: Path
) -> None:
    bin_dir: Path = pg_server.bin_dir  # type: ignore[attr-defined]
    with connect(warehouse, application_name="tests", autocommit=True) as conn:
        for number in range(3):
            add(conn, number)
        odd = '\\ \t \u2028 \x85 " 观潮 \x00'
        append(conn, kind="test.fact", subject="odd \\ text", body={odd: odd}, now=NOW)
        last = head(conn)
        sound = run(script, str(export(warehouse, bin_dir, tmp_path / "a.txt")), str(last.seq))
        assert sound.stdout.splitlines() == [f"record 4 {last.hash}", f"last 4 {last.hash}"], sound.stderr

        with triggers_off(conn):
            forge(conn, 2, {"body": {"n": "forged"}})
        broken = run(script, str(export(warehouse, bin_dir, tmp_path / "b.txt")))
        assert broken.returncode != 0
        assert "breaks at record 3" in broken.stderr


def test_openssl_verifies_an_anchor_as_the_page_says(warehouse: str, tmp_path: Path) -> None:
    import base64

    key = SigningKey.generate()
    key.public.save(tmp_path / "signing.pub.pem")
    with connect(warehouse, application_name="tests") as conn:
        add(conn, 1)
        signed = sign_head(head(conn), key, NOW).model_dump(mode="json")
    match = re.search(r'^ *(\{"hash":"<hash>".*\})$', PAGE, re.MULTILINE)
    assert match is not None
    text = match[1]
    for name in ("hash", "seq", "signed_at"):
        text = text.replace(f"<{name}>", str(signed[name]))
    (tmp_path / "head.json").write_text(text, encoding="utf-8")
    (tmp_path / "head.sig").write_bytes(base64.b64decode(signed["signature"]["value"]))
    line = re.search(r"^ *(openssl pkeyutl .*)$", PAGE, re.MULTILINE)
    assert line is not None

    def openssl() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(line[1].split(), cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "Verified Successfully" in openssl().stdout
    (tmp_path / "head.json").write_text(text.replace('"seq":1', '"seq":2'), encoding="utf-8")
    assert openssl().returncode != 0


def test_the_page_lists_every_kind_and_the_grants_that_a_test_uses() -> None:
    listed = set(re.findall(r"^\| `([a-z]+\.[a-z]+)` \|", PAGE, re.MULTILINE))
    assert listed == set(SCHEMAS)
    from test_ledger_guards import WRITER_GRANTS

    for grant in WRITER_GRANTS:
        assert f"grant {grant} to writer;" in PAGE
