"""docs/keys.md leads an auditor from the first signing key to the one in use: its own commands do it."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidewatch.core.settings import load_settings
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.evidence.continuity import hand_over

PAGE = (load_settings().project / "docs" / "keys.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 22, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on PATH")
def test_openssl_follows_a_rotation_as_the_page_says(tmp_path: Path) -> None:
    old, new = SigningKey.generate(), SigningKey.generate()
    record = hand_over(old, new.public, NOW).as_json()
    old.public.save(tmp_path / "old.pem")
    text = re.search(r'^(\{"new_key_id":"<new_key_id>".*\})$', PAGE, re.MULTILINE)
    commands = re.search(r"^```\n(\(printf .*?)```$", PAGE, re.MULTILINE | re.DOTALL)
    assert text is not None and commands is not None
    signed = text[1]
    for name, value in record.items():
        signed = signed.replace(f"<{name}>", str(value))

    def run() -> "subprocess.CompletedProcess[str]":
        (tmp_path / "record.json").write_text(signed, encoding="utf-8")
        variables = {name: str(record[name]) for name in ("new_public_key", "signature")}
        script = "set -e\n" + commands[1]
        return subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"} | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    done = run()
    assert "Verified Successfully" in done.stdout, done.stderr
    assert done.stdout.splitlines()[0] == new.public.key_id
    assert KeyRing.load(tmp_path / "new.pem").newest == new.public
    signed = signed.replace('"purpose"', '"Purpose"')
    assert run().returncode != 0


def test_csplit_cuts_the_ring_into_its_keys_as_the_page_says(tmp_path: Path) -> None:
    keys = [SigningKey.generate().public for _ in range(3)]
    (tmp_path / "signing.pub.pem").write_bytes(KeyRing(tuple(keys)).pem)
    command = re.search(r"`(csplit .*?)`", PAGE)
    assert command is not None
    subprocess.run(["bash", "-c", command[1]], cwd=tmp_path, check=True, capture_output=True)
    pieces = sorted(tmp_path.glob("xx*"))
    assert [KeyRing.load(piece).newest for piece in pieces] == keys
