"""Posts of a file into the labelling queue: those of which the champion is least sure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import NotFound
from tidewatch.sentiment import LABELS, shadow
from tidewatch.sentiment.labels.mapping import LabelsFile
from tidewatch.sentiment.labels.posts import Post
from tidewatch.sentiment.labels.queue import Scored, offer
from tidewatch.sentiment.labels.reading import Reader, Refusal
from tidewatch.sentiment.labels.rows import read_bytes, read_rows
from tidewatch.sentiment.model import Model
from tidewatch.sentiment.registry import champion, content
from tidewatch.text.near_duplicates import groups

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewatch.sentiment.registry import Champion
    from tidewatch.sentiment.shadow import Shadow

_AT_ONCE = 5000
_POOL = 10
"""So many candidates are looked at for each post that is wanted, to leave copies out."""


@dataclass(frozen=True)
class OfferReport:
    """What became of a file of posts. `texts`: different ones among the rows that can be read; `labelled`:
    those passed over because a person has labelled them, or the post was deleted; `copies`: near-duplicates
    of one that was looked at. `least` and `most`: how sure the champion is of those that were chosen (0 to
    1), None where there are none. `shadow`: the version that scored the texts too (None: no one did), and
    `differing`, of how many it says something else."""

    version: int
    rows: int
    texts: int
    labelled: int
    copies: int
    offered: int
    least: float | None
    most: float | None
    shadow: int | None
    differing: int | None
    reasons: Mapping[str, int]
    refused: tuple[Refusal, ...]


def offer_file(
    conn: Connection,
    path: Path,
    file: LabelsFile,
    *,
    mapping: str,
    most: int,
    now: datetime,
    dry_run: bool = False,
) -> OfferReport:
    """Score the posts of a file with the champion, and put the `most` it is least sure of into the queue.

    Near-duplicates count once. A text that a person has labelled is passed over. `dry_run` keeps nothing. In
    a transaction of its own (a savepoint inside one of the caller's). The same file again changes nothing
    but the time of the scores. Raises NotFound (no champion, no such mapping), ConfigError (the file is
    broken).
    """
    columns = file.mapping(mapping).without_labels()
    scorer = champion(conn)
    if scorer is None:
        raise NotFound(
            "Posts cannot be offered for labelling",
            expected="a champion that says of which posts it is least sure",
            found="none",
            do="train and promote a first model (docs/models.md); labels in files are imported without one",
        )
    rows, _ = read_rows(path.name, read_bytes(path, file.limits), columns, file.limits)
    reader = Reader(file, columns, None, now)
    posts: dict[str, Post] = {}
    for post in reader.posts(rows):
        posts.setdefault(post.text_sha256, post)
    asked = list(posts.values())
    scored = _score(conn, scorer, asked)
    with conn.transaction(force_rollback=dry_run):
        beside, differing = _shadowed(conn, scorer.version, asked, scored)
        chosen, known, copies = _chosen(conn, _least_sure(scored, asked), most)
        offered = offer(conn, chosen, model_sha256=scorer.model_sha256, now=now)
    sure = [max(each.probabilities) for each in chosen]
    return OfferReport(
        version=scorer.version,
        rows=reader.read,
        texts=len(posts),
        labelled=known,
        copies=copies,
        offered=offered,
        least=min(sure, default=None),
        most=max(sure, default=None),
        shadow=beside,
        differing=differing,
        reasons=dict(sorted(Counter(r.reason for r in reader.refused).items())),
        refused=tuple(reader.refused),
    )


def _score(conn: Connection, which: "Champion | Shadow", posts: Sequence[Post]) -> "pa.Table":
    model = Model.from_bytes(content(conn, which.version), which.model_sha256)
    return model.score([post.text for post in posts])


def _shadowed(
    conn: Connection, champion_version: int, posts: Sequence[Post], scored: "pa.Table"
) -> tuple[int | None, int | None]:
    """Let the shadow score the posts too, keep what both say; the shadow, and how often the two differ."""
    beside = shadow.shadow(conn)
    if beside is None:
        return None, None
    theirs = _score(conn, beside, posts)
    shadow.count(conn, beside, champion_version, [post.text_sha256 for post in posts], scored, theirs)
    return beside.version, int((scored["label"].to_numpy() != theirs["label"].to_numpy()).sum())


def _least_sure(scored: "pa.Table", posts: Sequence[Post]) -> Iterator[Scored]:
    """The posts with the champion's probabilities, the least sure first; equally sure ones by their text's
    SHA-256, so that the order of the file decides nothing."""
    chances = np.stack([scored[f"p_{name}"].to_numpy() for name in LABELS], axis=1)
    hashes = np.array([post.text_sha256 for post in posts])
    for place in np.lexsort((hashes, chances.max(axis=1))) if posts else ():
        negative, neutral, positive = (float(p) for p in chances[place])
        yield Scored(posts[place], (negative, neutral, positive))


def _chosen(conn: Connection, scored: Iterator[Scored], most: int) -> tuple[list[Scored], int, int]:
    """The first `most` that nobody has labelled, of near-duplicates one; how many were passed over because
    they are labelled or deleted, and how many because they are copies."""
    found: list[Scored] = []
    known = 0
    while len(found) < most * _POOL and (part := list(islice(scored, _AT_ONCE))):
        texts = [each.post.text_sha256 for each in part]
        rows = execute(conn, "sentiment/labels/offer_known", {"texts": texts}).fetchall()
        labelled = {row["text_sha256"] for row in rows}
        known += len(labelled)
        found += [each for each in part if each.post.text_sha256 not in labelled]
    found = found[: most * _POOL]
    # Of a text that was copied a thousand times, one label is worth as much as a thousand.
    seen: set[int] = set()
    chosen: list[Scored] = []
    for each, group in zip(found, groups([each.post.text for each in found]).tolist(), strict=True):
        if group not in seen:
            seen.add(group)
            chosen.append(each)
    return chosen[:most], known, len(found) - len(chosen)
