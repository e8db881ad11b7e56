"""The envelope: opens with stock tools, streams, and does not open when anything was changed."""

import io
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import ConfigError, IntegrityError
from tidewatch.vault.envelope import Recipients, key_id, load_identities, load_recipients, open_sealed, seal

IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENTS = Recipients((IDENTITY.to_public(),), (key_id(str(IDENTITY.to_public())),))


def sealed(data: bytes, **how: int) -> bytes:
    out = io.BytesIO()
    seal(io.BytesIO(data), out.write, RECIPIENTS, **how)
    return out.getvalue()


def opened(stored: bytes) -> bytes:
    out = io.BytesIO()
    open_sealed(io.BytesIO(stored), out.write, IDENTITY)
    return out.getvalue()


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 65535, 65536, 65537, 131075, (1 << 20) + 1])
@pytest.mark.parametrize("threads", [0, 2])
def test_it_opens_with_stock_age_and_zstd_at_every_boundary(size: int, threads: int) -> None:
    data = os.urandom(size)  # does not compress, so the boundaries are those of the stored bytes too
    plain = zstandard.ZstdDecompressor().stream_reader(
        pyrage.decrypt(sealed(data, threads=threads), [IDENTITY])
    )
    assert plain.read() == data


def test_it_opens_with_the_zstd_program(tmp_path: Path) -> None:
    zstd = "/usr/bin/zstd"
    if not Path(zstd).exists():
        pytest.skip("no zstd program on this machine")
    packed = pyrage.decrypt(sealed(b"tide " * 1000), [IDENTITY])
    result = subprocess.run([zstd, "-dc"], input=packed, capture_output=True, check=True, timeout=30)
    assert result.stdout == b"tide " * 1000


@settings(max_examples=25)
@given(st.binary(max_size=200_000) | st.integers(0, 300_000).map(bytes))
def test_what_was_sealed_opens_to_the_same_bytes_and_sizes_and_hashes_are_told(data: bytes) -> None:
    stored, plain = io.BytesIO(), io.BytesIO()
    told = seal(io.BytesIO(data), stored.write, RECIPIENTS)
    assert (told.plain_size, told.plain_sha256) == (len(data), sha256_hex(data))
    assert (told.cipher_size, told.cipher_sha256) == (len(stored.getvalue()), sha256_hex(stored.getvalue()))
    assert open_sealed(io.BytesIO(stored.getvalue()), plain.write, IDENTITY) == told
    assert plain.getvalue() == data


def test_a_reader_that_gives_little_at_a_time_is_read_to_its_end() -> None:
    """Pipes give what they have."""
    data = os.urandom(50_000)
    stream = io.BytesIO(data)

    class Drip:
        def read(self, size: int, /) -> bytes:
            return stream.read(min(size, 777))

    out = io.BytesIO()
    seal(Drip(), out.write, RECIPIENTS)
    assert opened(out.getvalue()) == data


SAMPLE = sealed(os.urandom(70_000))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_any_changed_byte_is_an_integrity_error(at: int, change: int) -> None:
    broken = bytearray(SAMPLE)
    broken[at] ^= change
    with pytest.raises(IntegrityError):
        opened(bytes(broken))


@settings(max_examples=40)
@given(st.integers(0, len(SAMPLE) - 1))
def test_any_missing_end_is_an_integrity_error(length: int) -> None:
    with pytest.raises(IntegrityError):
        opened(SAMPLE[:length])


def test_bytes_after_the_end_are_an_integrity_error() -> None:
    with pytest.raises(IntegrityError):
        opened(SAMPLE + b"x")


@pytest.mark.parametrize(
    "inner",
    [
        b"no zstd at all",
        b"",
        zstandard.compress(b"a" * 1000)[:-3],
        zstandard.compress(b"a") + zstandard.compress(b"b"),
        zstandard.compress(b"a") + b"\0",
    ],
    ids=["not zstd", "nothing", "cut", "two frames", "trailing byte"],
)
def test_a_sound_age_file_with_something_else_inside_is_an_integrity_error(inner: bytes) -> None:
    with pytest.raises(IntegrityError):
        opened(pyrage.encrypt(inner, list(RECIPIENTS.items)))


def test_another_identity_does_not_open_it() -> None:
    stranger = pyrage.x25519.Identity.generate()
    with pytest.raises(IntegrityError, match="does not open"):
        open_sealed(io.BytesIO(SAMPLE), lambda block: None, stranger)


def test_every_recipient_can_open_it_alone() -> None:
    second = pyrage.x25519.Identity.generate()
    out = io.BytesIO()
    seal(io.BytesIO(b"both"), out.write, Recipients((IDENTITY.to_public(), second.to_public()), ("a", "b")))
    for identity in (IDENTITY, second):
        plain = io.BytesIO()
        open_sealed(io.BytesIO(out.getvalue()), plain.write, identity)
        assert plain.getvalue() == b"both"


class Stop(BaseException):
    """Not even an Exception, like KeyboardInterrupt."""


def _raise(error: BaseException) -> Callable[[bytes], None]:
    def call(block: bytes) -> None:
        raise error

    return call


@pytest.mark.parametrize("error", [OSError("disk full"), Stop("now")])
def test_an_error_of_source_or_sink_comes_out_as_itself(error: BaseException) -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise error

    calls: list[Callable[[], object]] = [
        lambda: seal(Broken(), len, RECIPIENTS),
        lambda: seal(io.BytesIO(os.urandom(200_000)), _raise(error), RECIPIENTS),
        lambda: open_sealed(Broken(), len, IDENTITY),
        lambda: open_sealed(io.BytesIO(SAMPLE), _raise(error), IDENTITY),
    ]
    for call in calls:
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error


def test_memory_stays_flat_for_200_mb_in_both_directions(tmp_path: Path) -> None:
    """In a process of its own, whose peak is its own. The stream is half noise, half zeros: zeros compress
    by a factor of 30,000 and are what makes a careless reader swell."""
    program = textwrap.dedent("""
        import io, os, sys
        import pyrage
        from tidewatch.vault.envelope import Recipients, open_sealed, seal
        identity = pyrage.x25519.Identity.generate()
        noise, zeros = os.urandom(1 << 20), bytes(1 << 20)

        class Source:
            def __init__(self): self.blocks = 0
            def read(self, size):
                self.blocks += 1
                return b"" if self.blocks > 200 else (noise if self.blocks <= 100 else zeros)[:size]

        def peak():  # MiB; not ru_maxrss, which a child inherits from its parent
            lines = open("/proc/self/status").read().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

        seal(io.BytesIO(noise), len, Recipients((identity.to_public(),), ()))
        before = peak()
        with open(sys.argv[1], "wb") as file:
            told = seal(Source(), file.write, Recipients((identity.to_public(),), ()))
        with open(sys.argv[1], "rb") as file:
            assert open_sealed(file, len, identity) == told
        assert told.plain_size == 200 << 20
        print(peak() - before)
    """)
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "object")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert int(result.stdout) < 60, f"{result.stdout} MiB more than for 1 MiB"


def test_recipients_are_read_with_comments_and_each_once(tmp_path: Path) -> None:
    public = str(IDENTITY.to_public())
    path = tmp_path / "recipients.txt"
    path.write_text(f"# ours\n\n  {public}  \n{public}\n", encoding="utf-8")
    found = load_recipients(path)
    assert found.key_ids == (sha256_hex(public.encode())[:16],)
    out = io.BytesIO()
    seal(io.BytesIO(b"x"), out.write, found)
    assert opened(out.getvalue()) == b"x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no recipient"),
        ("# nobody\n", "no recipient"),
        ("age1qqqq\n", "line 1 is not a public key"),
        (f"{IDENTITY.to_public()}\nssh-ed25519 AAAA\n", "line 2 is not a public key"),
        (f"# key\n{IDENTITY}\n", "secret key on line 2"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "secret key on line 1"),
    ],
    ids=["empty", "comments only", "malformed", "malformed ssh", "age secret", "ssh secret"],
)
def test_a_bad_recipients_file_is_refused_in_words_that_show_no_key(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "recipients.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipients(path)
    assert "AGE-SECRET-KEY-" not in str(caught.value)


def test_a_missing_recipients_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="age-keygen"):
        load_recipients(tmp_path / "none.txt")


def test_an_identity_file_as_age_keygen_writes_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "identity.txt"
    path.write_text(f"# created: 2026\n# public key: {IDENTITY.to_public()}\n{IDENTITY}\n", encoding="ascii")
    plain = io.BytesIO()
    open_sealed(io.BytesIO(sealed(b"x")), plain.write, *load_identities(path).items)
    assert plain.getvalue() == b"x"
    path.write_text("AGE-SECRET-KEY-1BROKEN\n", encoding="ascii")
    with pytest.raises(ConfigError) as caught:
        load_identities(path)
    assert "1BROKEN" not in str(caught.value)
