"""The programs in docs/vault-format.md are run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from vault_samples import backup_id, entry, file_entry, files_draft, finished

from tidewatch.core.database import connect
from tidewatch.core.signing import SigningKey
from tidewatch.vault.fingerprint import fingerprint_database
from tidewatch.vault.manifest import sign

PAGE = (Path(__file__).parents[2] / "docs" / "vault-format.md").read_text(encoding="utf-8")


def program(word: str) -> str:
    [found] = [b for b in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if word in b]
    return str(found)


def run(text: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_program_for_manifests_accepts_ours_and_refuses_a_changed_one(tmp_path: Path) -> None:
    key = SigningKey.generate()
    draft = files_draft(1, files=[file_entry("目录/a", "a")], objects=[entry(backup_id(1))])
    data = sign(finished(draft), key)
    key.public.save(tmp_path / "signing.pub.pem")
    (tmp_path / "manifest.json").write_bytes(data)
    assert run(program("load_pem_public_key"), tmp_path).returncode == 0
    (tmp_path / "manifest.json").write_bytes(data.replace(b"sealed", b"Sealed"))
    assert "InvalidSignature" in run(program("load_pem_public_key"), tmp_path).stderr


def test_the_program_for_tables_gives_the_digest_of_the_fingerprint(database: str, tmp_path: Path) -> None:
    settings = re.search(r"under these settings:\n\s+`(.*?)`", PAGE, flags=re.DOTALL)
    assert settings is not None
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("create table t (b text, a timestamptz, c double precision)")
        conn.execute("insert into t select 'row ' || i, now(), random() from generate_series(1, 100) i")
        for setting in re.split(r", (?!YMD)", " ".join(settings[1].split())):
            name, value = setting.split(" ", 1)
            conn.execute("select set_config(%s, %s, false)", (name, value.strip("'")))
        with conn.cursor().copy("copy (select a, b, c from only public.t) to stdout") as copy:
            (tmp_path / "table.copy").write_bytes(b"".join(bytes(row) for row in copy))
    with connect(database, application_name="tests", autocommit=True) as conn2:
        conn2.execute("begin isolation level repeatable read read only")
        [table] = fingerprint_database(conn2).tables
    result = run(program("tidewatch-rowset-1"), tmp_path)
    assert result.stdout.strip() == table.sha256, result.stderr


@pytest.mark.parametrize("name", ["pack-00001.tar.zst.age", "decision.json", "manifest-1.json"])
def test_the_page_names_what_the_code_writes(name: str) -> None:
    assert name in PAGE
