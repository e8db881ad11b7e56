"""The envelope of stored bytes: zstd inside age. `age -d -i identity | zstd -d` opens it.

Everything streams: memory does not grow with the size of the object. The age format (age-encryption.org/v1)
authenticates every 64 KiB chunk and the end, so a cut or changed file does not open; the zstd frame carries
a checksum of the content besides.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyrage
import zstandard

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import ConfigError, IntegrityError

Sink = Callable[[bytes], object]

LEVEL = 3
THREADS = 2
"""Threads that compress: one manages some 170 MB/s, less than a database gives and a region takes."""
_READ_SIZE = 1 << 20
# What a thread takes at a time. zstd's own choice, 8 MiB, takes three times the memory and packs no better.
_JOB_SIZE = 1 << 21
# A step of compressed input may grow by a factor of 30,000 (a run of zeros): half a KiB keeps it at 16 MiB.
_INFLATE_STEP = 1 << 9
_IDENTITY_MARK = "AGE-SECRET-KEY-"


class Reader(Protocol):
    """A binary stream: a pipe, a file, an object being downloaded."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; empty only at the end."""


@dataclass(frozen=True)
class Sealed:
    """Sizes (bytes) and SHA-256 (hex; empty where nobody asked) of the stream before compression and of the
    stored bytes."""

    plain_size: int
    plain_sha256: str
    cipher_size: int
    cipher_sha256: str


@dataclass(frozen=True)
class Recipients:
    """Who can open what is sealed. `key_ids` are for the manifest: the first 16 hex digits of SHA-256 of
    each public key as it is written in the file."""

    items: tuple[Any, ...]
    key_ids: tuple[str, ...]


def load_recipients(path: Path) -> Recipients:
    """Read age recipients, one a line; empty lines and lines with `#` do not count. X25519 (`age1...`) and
    SSH (`ssh-ed25519 ...`, `ssh-rsa ...`) public keys are known. Raises ConfigError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, type(error).__name__) from error
    texts: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        texts[text] = _recipient(path, number, text)
    if not texts:
        raise _unusable(path, "no recipient")
    return Recipients(tuple(texts.values()), tuple(key_id(t) for t in texts))


def key_id(recipient: str) -> str:
    """The short name of a recipient: the first 16 hex digits of SHA-256 of its text."""
    return sha256_hex(recipient.strip().encode())[:16]


def _recipient(path: Path, number: int, text: str) -> Any:
    if _IDENTITY_MARK in text.upper() or "PRIVATE KEY" in text.upper():
        raise ConfigError(
            f"{path} holds a secret key on line {number}",
            expected="public keys only (age1... or ssh-...): the backup side must not be able to decrypt",
            found="a secret key (not shown)",
            do="move the secret key to a safe place away from this machine, put its public key here "
            "(`age-keygen -y`), and consider the key exposed",
        )
    kind = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return kind.from_str(text)
    except pyrage.RecipientError:
        raise _unusable(path, f"line {number} is not a public key ({len(text)} characters)") from None


def _unusable(path: Path, found: str) -> ConfigError:
    return ConfigError(
        f"The recipients file {path} cannot be used",
        expected="one or more age public keys, one a line",
        found=found,
        do="write the public keys into it (`age-keygen -y identity.txt`), or point TIDEWATCH_RECIPIENTS_FILE "
        "at the right file",
    )


@dataclass(frozen=True)
class Identities:
    """Secret keys, for restores. Kept out of `repr`; `key_ids` as manifests name their public halves."""

    items: tuple[Any, ...] = field(repr=False)
    key_ids: tuple[str, ...]


def load_identities(path: Path) -> Identities:
    """The secret keys of an age identity file, one a line. Raises ConfigError."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        keys = [pyrage.x25519.Identity.from_str(x) for x in lines if x.startswith(_IDENTITY_MARK)]
        found = "no such line"
    except (OSError, UnicodeDecodeError, pyrage.IdentityError) as error:
        # The library's own text may quote the key.
        keys, found = [], (isinstance(error, OSError) and error.strerror) or type(error).__name__
    if not keys:
        raise ConfigError(
            f"The identity file {path} cannot be used",
            expected=f"an age identity file with a line {_IDENTITY_MARK}...",
            found=found,
            do="point TIDEWATCH_IDENTITY_FILE at the file that `age-keygen` wrote",
        )
    return Identities(tuple(keys), tuple(key_id(str(key.to_public())) for key in keys))


class _Guard:
    """Keeps the first exception of our own callbacks: pyrage turns every one into its EncryptError."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except BaseException as error:  # also KeyboardInterrupt must come out as itself
            self.error = self.error or error
            raise

    def reraise(self) -> None:
        if self.error is not None:
            raise self.error from None


class _Passed:
    """Counts what passes, and hashes it."""

    def __init__(self, hashed: bool) -> None:
        self._hash = hashlib.sha256() if hashed else None
        self.size = 0

    def saw(self, block: bytes) -> None:
        if self._hash is not None:
            self._hash.update(block)
        self.size += len(block)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest() if self._hash is not None else ""


class _Source(_Passed):
    """A reader."""

    def __init__(self, reader: Reader, *, hashed: bool = True) -> None:
        super().__init__(hashed)
        self._read = reader.read

    def read(self, size: int) -> bytes:
        block = self._read(size)
        self.saw(block)
        return block


class _Pull:
    """What pyrage reads from, 8 KiB at a time: slices of the larger blocks of `blocks`."""

    def __init__(self, blocks: Iterator[bytes], guard: _Guard) -> None:
        self._blocks = blocks
        self._guard = guard
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            block: bytes = self._guard.run(next, self._blocks, b"")
            self._rest = memoryview(block)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


class _Push(_Passed):
    """What pyrage writes to: hands on."""

    def __init__(self, sink: Sink, guard: _Guard, *, hashed: bool = True) -> None:
        super().__init__(hashed)
        self._sink = sink
        self._guard = guard

    def write(self, block: bytes) -> int:
        self.saw(block)
        self._guard.run(self._sink, block)
        return len(block)

    def flush(self) -> None:
        """Nothing is kept back."""


def seal(
    reader: Reader, sink: Sink, recipients: Recipients, *, level: int = LEVEL, threads: int = THREADS
) -> Sealed:
    """Read `reader` to its end, compress, encrypt, and give the stored bytes to `sink` in blocks of about
    64 KiB. `threads` threads compress while the caller's reads, encrypts and sends; with 0 the
    caller's does that too.

    An exception of `reader` or `sink` comes out as itself; what `sink` got until then is worthless.
    """
    guard = _Guard()
    source = _Source(reader)
    push = _Push(sink, guard)
    try:
        pyrage.encrypt_io(_Pull(_packed(source, level, threads), guard), push, list(recipients.items))
    except (pyrage.EncryptError, OSError):
        guard.reraise()
        raise
    return Sealed(source.size, source.sha256, push.size, push.sha256)


def _packed(source: _Source, level: int, threads: int) -> Iterator[bytes]:
    """The zstd frame of `source`, in blocks that are not empty."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, threads=threads, job_size=_JOB_SIZE, write_checksum=True, write_content_size=False
    )
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    while block := source.read(_READ_SIZE):
        if packed := frame.compress(block):
            yield packed
    yield frame.flush()


def open_sealed(reader: Reader, writer: Sink, *identities: Any, hashed: bool = True) -> Sealed:
    """Decrypt and decompress `reader` into `writer`, with whichever of the identities opens it; the
    counterpart of `seal`. Without `hashed` nothing is hashed: for stored bytes whose SHA-256 was compared
    before (docs/decisions/0031).

    Raises IntegrityError when the bytes were changed, cut, or sealed to another key. `writer` may have got
    the sound beginning by then, so use what it got only after this has returned.
    """
    guard = _Guard()
    source = _Source(reader, hashed=hashed)
    plain = _Push(writer, guard, hashed=hashed)
    inflate = _Inflate(plain)
    try:
        pyrage.decrypt_io(
            _Pull(iter(partial(source.read, _READ_SIZE), b""), guard),
            _Push(inflate.write, guard, hashed=False),
            list(identities),
        )
        inflate.finish()
    except (pyrage.DecryptError, OSError) as error:  # pyrage reports a damaged body as OSError
        guard.reraise()
        raise _damaged(str(error)) from error
    return Sealed(plain.size, plain.sha256, source.size, source.sha256)


class _Inflate:
    """Decompresses exactly one zstd frame."""

    def __init__(self, out: _Push) -> None:
        self._out = out
        self._frame = zstandard.ZstdDecompressor().decompressobj()

    def write(self, block: bytes) -> None:
        for start in range(0, len(block), _INFLATE_STEP):
            if self._frame.eof:
                raise _damaged("bytes after the end of the compressed stream")
            try:
                plain = self._frame.decompress(block[start : start + _INFLATE_STEP])
            except zstandard.ZstdError as error:
                raise _damaged(str(error)) from error
            if plain:
                self._out.write(plain)
            if self._frame.unused_data:
                raise _damaged("bytes after the end of the compressed stream")

    def finish(self) -> None:
        """Raises IntegrityError when the frame is not complete."""
        if not self._frame.eof:
            raise _damaged("the end of the compressed stream is missing")


def _damaged(found: str) -> IntegrityError:
    return IntegrityError(
        "A stored object does not open",
        expected="an age file for this identity that holds one zstd frame, unchanged and complete",
        found=found,
        do="check that the identity belongs to a key id of the manifest; if it does, fetch the copy of "
        "another region",
    )
