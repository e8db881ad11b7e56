"""`tidewatch keys create`: keys are made once and never replaced."""

import shlex
import stat
from pathlib import Path

import pyrage
import pytest

from tidewatch.cli import main
from tidewatch.core.settings import load_settings
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.vault.envelope import load_recipients

FILES = {"signing.pem", "signing.pub.pem", "recipients.txt"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIDEWATCH_HOME", str(tmp_path / "state"))
    return tmp_path


def _create(home: Path) -> int:
    return main(["keys", "create", "--dir", str(home / "on"), "--offline-dir", str(home / "off")])


def _contents(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}


def test_two_pairs_are_made_that_fit_and_only_their_owner_can_read_the_secret_halves(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _create(home) == 0
    assert {p.name for p in (home / "on").iterdir()} == FILES
    assert [p.name for p in (home / "off").iterdir()] == ["identity.txt"]
    key = SigningKey.load(home / "on" / "signing.pem")
    KeyRing.load(home / "on" / "signing.pub.pem").verify(b"x", key.sign(b"x"))
    sealed = pyrage.encrypt(b"secret", load_recipients(home / "on" / "recipients.txt").items)
    identity = (home / "off" / "identity.txt").read_text().splitlines()[-1]
    assert pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(identity)]) == b"secret"
    for path in (home / "on" / "signing.pem", home / "off" / "identity.txt"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (home / "on", home / "off"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    shown = capsys.readouterr()
    assert shown.out.count("created") == 4 and "AGE-SECRET" not in shown.out + shown.err


def test_running_it_again_changes_nothing_also_when_the_identity_was_moved_away(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _create(home)
    before = _contents(home)
    assert _create(home) == 0 and _contents(home) == before
    assert "kept" in capsys.readouterr().out
    (home / "off" / "identity.txt").rename(home / "safe")
    before = _contents(home)
    assert _create(home) == 0 and _contents(home) == before


@pytest.mark.parametrize("lost", ["on/recipients.txt", "on/signing.pem"])
def test_half_a_pair_is_not_completed_by_a_half_that_does_not_fit(
    home: Path, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _create(home)
    (home / lost).rename(home / "lost")
    before = _contents(home)
    capsys.readouterr()
    assert _create(home) == 3 and _contents(home) == before
    said = capsys.readouterr().err
    assert Path(lost).name in said and "put the matching" in said and "AGE-SECRET" not in said


def test_a_lost_public_key_is_made_from_its_private_half(home: Path) -> None:
    _create(home)
    before = _contents(home)
    (home / "on" / "signing.pub.pem").unlink()
    assert _create(home) == 0 and _contents(home) == before


def test_halves_of_two_pairs_are_noticed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _create(home)
    SigningKey.generate().public.save(home / "on" / "signing.pub.pem")
    before = _contents(home)
    assert _create(home) == 3 and _contents(home) == before
    assert "not a pair" in capsys.readouterr().err


def test_both_keys_in_one_place_is_wrong_use(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(home / "one")
    assert main(["keys", "create", "--dir", one, "--offline-dir", f"{home}/x/../one"]) == 2
    assert "must differ" in capsys.readouterr().err and not (home / "one").exists()


def test_a_place_that_is_no_directory_is_said_in_words(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "on").write_text("a file")
    assert _create(home) == 3
    assert "on: File exists" in capsys.readouterr().err


def test_the_variables_it_prints_make_tidewatch_use_these_keys(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise backups are encrypted to another key than the one that was carried to a safe place."""
    assert _create(home) == 0
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("  export "):
            monkeypatch.setenv(*shlex.split(line)[1].split("=", 1))
    settings = load_settings()
    assert {settings.signing_key_file, settings.verify_key_file, settings.recipients_file} == {
        home / "on" / name for name in FILES
    }
