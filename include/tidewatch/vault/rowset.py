"""A digest of rows that does not depend on their order: the sum of the rows' hashes.

    value = (sum over all rows of SHA-512(row)) mod 2^512, rows counted with their multiplicity
    digest = SHA-256("tidewatch-rowset-1" LF decimal(count) LF value as 64 bytes, little-endian)

A row is one line of PostgreSQL's text format of COPY, its newline included; SHA-512 values are read as
little-endian integers. This is an additive multiset hash (AdHash; Bellare and Micciancio, EUROCRYPT 1997):
equal multisets have equal digests, and a row lost, changed, doubled or added changes it. It shows damage and
mistakes. Whoever may choose millions of rows freely could, with much computing, construct two different
tables of the same digest (generalised birthday attack): proof against a forger is the signed hash of the
dump, not this.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from tidewatch.vault.facts import ALGORITHM

_MODULUS_BITS = 512
_MASK = (1 << _MODULUS_BITS) - 1
BATCH = 8192
"""Rows between two additions: enough for numpy to win, few enough that their digests (512 KiB) stay in the
cache."""


class RowSet:
    """The running sum. Rows may come in any order and any grouping."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add_rows(
        self,
        rows: Iterable[bytes | bytearray | memoryview],
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """Add whole rows. Only digests are kept, never rows: memory does not grow with their length.
        `on_batch` is told the count so far after every 8192 rows."""
        sha512 = hashlib.sha512
        iterator = iter(rows)
        while digests := b"".join([sha512(row).digest() for row in islice(iterator, BATCH)]):
            self.add_digests(digests)
            if on_batch is not None:
                on_batch(self.count)

    def add_text(self, chunks: Iterable[bytes]) -> None:
        """Add a COPY text stream cut anywhere, such as a file read in blocks. In that format a newline
        inside a value is written as backslash-n, so every newline ends a row."""
        self.add_rows(_lines(chunks))

    def merge(self, other: "RowSet") -> None:
        """Add the rows of `other`, as if they had been added here."""
        self.count += other.count
        self._sum = (self._sum + other._sum) & _MASK

    def add_digests(self, digests: bytes) -> None:
        """Add rows by their SHA-512 digests, 64 bytes each, one after the other."""
        # Each 512-bit number as 16 columns of 32 bits; the columns are summed without overflow (64 bits
        # hold 2^32 such numbers) and the carries are done once a batch.
        columns = np.frombuffer(digests, dtype="<u4").reshape(-1, 16)
        sums = columns.sum(axis=0, dtype=np.uint64).tolist()
        self.count += len(columns)
        self._sum = (self._sum + sum(value << (32 * i) for i, value in enumerate(sums))) & _MASK

    @property
    def sha256(self) -> str:
        """The digest, 64 hex digits."""
        head = f"{ALGORITHM}\n{self.count}\n".encode()
        return hashlib.sha256(head + self._sum.to_bytes(_MODULUS_BITS // 8, "little")).hexdigest()


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    for chunk in chunks:
        *ended, last = chunk.split(b"\n")
        for line in ended:
            yield b"".join((*rest, line, b"\n"))
            rest.clear()
        if last:
            rest.append(last)
    if rest:
        yield b"".join(rest)  # a last row without newline still counts, as a different row
