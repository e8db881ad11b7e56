"""What a seeding made."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SeedReport:
    """`counts`: table -> rows, or top folder -> files. `bytes`: as stored. `created`: False = was there."""

    counts: Mapping[str, int]
    bytes: int
    created: bool

    @property
    def total(self) -> int:
        """All rows, or all files."""
        return sum(self.counts.values())
