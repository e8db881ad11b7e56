"""Which labelled texts a challenger is trained on, and which it is measured with.

What is held out is drawn once and stays held out. Of texts that people labelled (not of the seed corpus), one
of each group of near-duplicates is drawn by a hash of its leader, the member with the smallest SHA-256; the
others of a drawn group are neither trained on nor measured with, for they would count one post twice. Texts
that a challenger of an earlier run was trained on are drawn no more.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tidewatch.core.clock import iso, require_utc
from tidewatch.core.database import Connection, execute, lock_number
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.labels.training import TrainingSet
from tidewatch.sentiment.retraining.settings import RetrainingFile
from tidewatch.text.near_duplicates import groups

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]
Kind = Literal["frozen", "recent", "platform", "crisis"]

PEOPLE = ("console", "label_studio", "import")
"""Origins of labels that people gave."""
_LOCK = lock_number("tidewatch.sentiment.held_out")


@dataclass(frozen=True)
class Set:
    """Posts to measure with: places in the frozen table (int64, ascending), at least one."""

    kind: Kind
    indices: Array


@dataclass(frozen=True)
class Split:
    """Places in the frozen table, ascending. `train` and `held_out` share no group of near-duplicates.

    `sets` are subsets of `held_out`: `frozen` (held out before this run; all, until a challenger has come of
    one), `recent`, `platform:<name>`, `crisis:<name>`; a set without posts is not there, so `frozen` may be
    missing too.
    `labels` (int8, places in LABELS), `platforms` (None where unknown) and `groups` (of near-duplicates) are
    those of every row. `counts` is JSON without anything of a text.
    """

    train: Array
    held_out: Array
    sets: Mapping[str, Set]
    labels: Array
    platforms: tuple[str | None, ...]
    groups: Array
    frozen_at: datetime
    counts: dict[str, Any]


def split(
    conn: Connection, frozen: TrainingSet, *, settings: RetrainingFile, run_id: str, now: datetime
) -> Split:
    """Draw what this run holds out, write it to sentiment.held_out, and say what goes where.

    `now`: when the labels were frozen, the same in every step of a run. Said again for the same run and the
    same labels, it gives the same; what was deleted since is missing, and nothing moves to the other side.
    Works in the caller's transaction. Raises ValueError for a naive `now`.
    """
    moment = require_utc(now)
    table = frozen.table
    hashes = table["text_sha256"].to_pylist()
    together = groups(table["text"], threshold=settings.held_out.near_duplicates)
    # Two runs that draw at once would not see each other's texts.
    conn.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
    drawn = execute(conn, "sentiment/retraining/held_out").fetchall()
    known = {r["text_sha256"]: r["run_id"] for r in drawn}
    own = {sha for sha, by in known.items() if by == run_id}
    if not own:
        trained = {
            r["text_sha256"] for r in execute(conn, "sentiment/retraining/trained_on", {"run_id": run_id})
        }
        own = _draw(table, hashes, together, known.keys(), trained - known.keys(), settings)
        execute(conn, "sentiment/retraining/held_out_add",
                {"texts": sorted(own), "run_id": run_id, "now": moment})  # fmt: skip
    before = known.keys() - own
    held = np.array([sha in own or sha in before for sha in hashes], bool)
    touched = np.isin(together, together[held])
    held_out = np.flatnonzero(held)
    earlier = np.array([sha in before for sha in hashes], bool)
    # A run that had too few labels measured nothing: what is labelled after it counts at once.
    first = not any(r["came_to_a_challenger"] for r in drawn if r["run_id"] != run_id)
    sets = dict(_sets(table, held_out, held if first or not earlier.any() else earlier, settings, moment))
    train = np.flatnonzero(~touched)
    return Split(
        train=train,
        held_out=held_out,
        sets=sets,
        labels=table["label"].to_numpy(),
        platforms=tuple(table["platform"].to_pylist()),
        groups=together,
        frozen_at=moment,
        counts=_counts(table, train, held_out, int((touched & ~held).sum()), sets, together, moment),
    )


def _draw(
    table: "pa.Table",
    hashes: list[str],
    together: Array,
    known: Any,
    trained: set[str],
    settings: RetrainingFile,
) -> set[str]:
    """The texts to hold out: of each drawn group the first that a person labelled. The table is sorted by
    text_sha256, so the first of a group leads it."""
    origins = table["origin"].to_pylist()
    leaders: dict[int, str] = {}
    people: dict[int, str] = {}
    closed: set[int] = set()
    for sha, group, origin in zip(hashes, together.tolist(), origins, strict=True):
        leaders.setdefault(group, sha)
        if origin in PEOPLE:
            people.setdefault(group, sha)
        if sha in known or sha in trained:
            closed.add(group)
    limit = int(settings.held_out.share * (1 << 64))
    return {
        sha
        for group, sha in people.items()
        if group not in closed and _lot(settings.held_out.seed, leaders[group]) < limit
    }


def _lot(seed: str, sha: str) -> int:
    """A number below 2^64 that depends on the seed and the text alone."""
    key = hashlib.sha256(seed.encode()).digest()
    return int.from_bytes(hashlib.blake2b(sha.encode(), digest_size=8, key=key).digest(), "big")


def _sets(
    table: "pa.Table", held_out: Array, earlier: Array, settings: RetrainingFile, now: datetime
) -> Iterator[tuple[str, Set]]:
    posted, platforms = table["posted_at"].to_pylist(), table["platform"].to_pylist()
    since = now - timedelta(days=settings.held_out.recent_days)

    def chosen(kind: Kind, name: str, of: Any) -> Iterator[tuple[str, Set]]:
        places = np.array([place for place in held_out.tolist() if of(place)], np.int64)
        if places.size:
            yield name, Set(kind, places)

    yield from chosen("frozen", "frozen", lambda place: earlier[place])
    yield from chosen("recent", "recent", lambda place: _recent(posted[place], since, now))
    for platform in sorted({platforms[place] for place in held_out.tolist()} - {None}):
        yield from chosen(
            "platform", f"platform:{platform}", lambda place, of=platform: platforms[place] == of
        )
    for crisis in settings.crises:
        yield from chosen(
            "crisis", f"crisis:{crisis.name}",
            lambda place, of=crisis: of.holds(posted[place], platforms[place]),
        )  # fmt: skip


def _recent(posted: datetime | None, since: datetime, now: datetime) -> bool:
    return posted is not None and since < posted <= now


def _counts(
    table: "pa.Table", train: Array, held_out: Array, alike: int, sets: Mapping[str, Set], together: Array,
    now: datetime,
) -> dict[str, Any]:  # fmt: skip
    labels = table["label"].to_numpy()
    origins = np.array(table["origin"].to_pylist(), object)

    def by_class(places: Array) -> dict[str, int]:
        found = np.bincount(labels[places], minlength=len(LABELS))
        return {name: int(n) for name, n in zip(LABELS, found, strict=True)}

    return {
        "frozen_at": iso(now),
        "rows": table.num_rows,
        "train": {
            "n": len(train),
            "labels": by_class(train),
            "origins": dict(sorted(Counter(origins[train].tolist()).items())),
        },
        "held_out": {"n": len(held_out), "labels": by_class(held_out)},
        "left_out": {"like_held_out": alike},
        "largest_group": int(np.bincount(together).max()) if together.size else 0,
        "sets": {
            name: {"kind": of.kind, "n": len(of.indices), "labels": by_class(of.indices)}
            for name, of in sets.items()
        },
    }
