"""A signature fits one key and one text, and stock tools agree."""

import base64
import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatch.core.errors import ConfigError, IntegrityError
from tidewatch.core.signing import KeyRing, Signature, SigningKey

KEY = SigningKey.generate()


@given(st.binary(max_size=200), st.integers(0, 10_000))
def test_one_changed_bit_in_text_or_signature_is_noticed(data: bytes, place: int) -> None:
    signature = KEY.sign(data)
    KEY.public.verify(data, signature)
    raw = bytearray(base64.b64decode(signature.value))
    raw[place % 64] ^= 1 << place % 8
    with pytest.raises(IntegrityError, match="does not fit"):
        KEY.public.verify(data, dataclasses.replace(signature, value=base64.b64encode(raw).decode()))
    with pytest.raises(IntegrityError, match="does not fit"):
        KEY.public.verify(data + b"\0", signature)


def test_the_signature_of_another_key_is_refused_whatever_it_calls_itself() -> None:
    other = SigningKey.generate()
    with pytest.raises(IntegrityError, match="made by another key"):
        KEY.public.verify(b"x", other.sign(b"x"))
    forged = dataclasses.replace(other.sign(b"x"), key_id=KEY.public.key_id)
    with pytest.raises(IntegrityError, match="does not fit"):
        KEY.public.verify(b"x", forged)


@pytest.mark.parametrize("value", ["", "x", "签名", "AAAA", "*" * 88])
def test_what_is_no_signature_is_refused(value: str) -> None:
    with pytest.raises(IntegrityError, match="does not fit"):
        KEY.public.verify(b"x", Signature(KEY.public.key_id, value))


def test_a_signature_has_one_spelling() -> None:
    signature = KEY.sign(b"x")
    last = signature.value[-3]  # of this letter base64 uses only some bits
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = signature.value[:-3] + alphabet[alphabet.index(last) + 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(signature.value)
    with pytest.raises(IntegrityError):
        KEY.public.verify(b"x", dataclasses.replace(signature, value=other))


def test_another_algorithm_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"Expected: ed25519\. Found: none"):
        KEY.public.verify(b"x", dataclasses.replace(KEY.sign(b"x"), algorithm="none"))


def test_keys_survive_their_files_and_the_private_one_is_the_owners_only(tmp_path: Path) -> None:
    KEY.save(tmp_path / "k.pem")
    KEY.public.save(tmp_path / "k.pub.pem")
    assert (tmp_path / "k.pem").stat().st_mode & 0o777 == 0o600
    loaded = SigningKey.load(tmp_path / "k.pem")
    KeyRing.load(tmp_path / "k.pub.pem").verify(b"x", loaded.sign(b"x"))


def test_a_signing_key_is_not_overwritten(tmp_path: Path) -> None:
    KEY.save(tmp_path / "k.pem")
    with pytest.raises(FileExistsError):
        SigningKey.generate().save(tmp_path / "k.pem")
    assert SigningKey.load(tmp_path / "k.pem").public.key_id == KEY.public.key_id


def test_a_private_key_is_never_shown() -> None:
    assert repr(KEY) == f"SigningKey({KEY.public.key_id})"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "No such file"),
        (b"", "an empty file"),
        (b"AGE-SECRET-KEY-1XXXX", "an age identity"),
        (b"hello", "something else"),
    ],
)
def test_a_file_that_is_no_key_is_told_with_what_it_is(
    tmp_path: Path, content: bytes | None, found: str
) -> None:
    path = tmp_path / "k.pem"
    if content is not None:
        path.write_bytes(content)
    for load in (SigningKey.load, KeyRing.load):
        with pytest.raises(ConfigError, match=found) as caught:
            load(path)
        assert str(path) in str(caught.value)


def test_keys_that_were_swapped_are_told_apart(tmp_path: Path) -> None:
    KEY.save(tmp_path / "k.pem")
    KEY.public.save(tmp_path / "k.pub.pem")
    with pytest.raises(ConfigError, match="Found: a private key"):
        KeyRing.load(tmp_path / "k.pem")
    with pytest.raises(ConfigError, match="Found: a public key"):
        SigningKey.load(tmp_path / "k.pub.pem")


def openssl(*arguments: str | Path) -> str:
    return subprocess.run(
        ["openssl", *map(str, arguments)], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on PATH")
def test_openssl_verifies_our_signatures_and_we_verify_those_of_openssl(tmp_path: Path) -> None:
    text, sig = tmp_path / "text", tmp_path / "sig"
    text.write_bytes(b"what was signed")
    KEY.public.save(tmp_path / "ours.pub.pem")
    sig.write_bytes(base64.b64decode(KEY.sign(text.read_bytes()).value))
    verify = ("pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "ours.pub.pem", "-rawin", "-in", text)
    assert "Signature Verified Successfully" in openssl(*verify, "-sigfile", sig)

    openssl("genpkey", "-algorithm", "ed25519", "-out", tmp_path / "k.pem")
    openssl("pkey", "-in", tmp_path / "k.pem", "-pubout", "-out", tmp_path / "k.pub.pem")
    openssl("pkeyutl", "-sign", "-inkey", tmp_path / "k.pem", "-rawin", "-in", text, "-out", sig)
    theirs = KeyRing.load(tmp_path / "k.pub.pem")
    value = base64.b64encode(sig.read_bytes()).decode()
    theirs.verify(text.read_bytes(), Signature(theirs.newest.key_id, value))
    assert SigningKey.load(tmp_path / "k.pem").sign(text.read_bytes()).value == value


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on PATH")
def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "ec.pem")
    with pytest.raises(ConfigError, match="a private key of another kind"):
        SigningKey.load(tmp_path / "ec.pem")
    openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out", tmp_path / "enc.pem")
    with pytest.raises(ConfigError, match="behind a passphrase"):
        SigningKey.load(tmp_path / "enc.pem")


# -- the ring --------------------------------------------------------------------------------------------


def _ring(*keys: SigningKey) -> KeyRing:
    return KeyRing(tuple(key.public for key in keys))


def test_a_ring_checks_by_the_key_that_a_signature_names_and_keeps_its_order(tmp_path: Path) -> None:
    old, new = SigningKey.generate(), SigningKey.generate()
    (tmp_path / "ring.pem").write_bytes(
        b"# since 2025\n" + old.public.pem + b"\n# since 2026\n" + new.public.pem
    )
    ring = KeyRing.load(tmp_path / "ring.pem")
    assert ring == _ring(old, new) and ring.newest.key_id == new.public.key_id
    for key in (old, new):
        ring.verify(b"x", key.sign(b"x"))
        with pytest.raises(IntegrityError, match="does not fit"):
            ring.verify(b"y", key.sign(b"x"))
    assert ring.with_key(old.public) is ring
    assert ring.with_key(KEY.public).key_ids == (*ring.key_ids, KEY.public.key_id)
    forged = dataclasses.replace(KEY.sign(b"x"), key_id=old.public.key_id)
    with pytest.raises(IntegrityError, match="does not fit"):
        ring.verify(b"x", forged)


def test_a_key_that_is_not_in_the_ring_is_named_and_where_it_would_belong() -> None:
    with pytest.raises(IntegrityError) as caught:
        _ring(SigningKey.generate(), SigningKey.generate()).verify(b"x", KEY.sign(b"x"))
    said = str(caught.value)
    assert f"Found: key {KEY.public.key_id}" in said and "TIDEWATCH_VERIFY_KEY_FILE" in said


@pytest.mark.parametrize("damage", ["cut", "private", "letters"])
def test_a_ring_with_one_block_that_is_no_public_key_is_refused_whole(tmp_path: Path, damage: str) -> None:
    """Skipping it in silence would make good signatures look forged."""
    path, pem = tmp_path / "ring.pem", KEY.public.pem
    if damage == "cut":
        path.write_bytes(pem + pem[:60])
    elif damage == "private":
        KEY.save(path)
        path.write_bytes(pem + path.read_bytes())
    else:
        path.write_bytes(pem + pem.replace(b"MCow", b"!!!!"))
    with pytest.raises(ConfigError, match=r"ring\.pem cannot be used"):
        KeyRing.load(path)
