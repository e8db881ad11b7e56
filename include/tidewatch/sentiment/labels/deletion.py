"""Deleting posts: text, labels and scores go; hashes and counts stay, so that no file brings them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.evidence import ledger
from tidewatch.evidence.schemas import LabelsDeleted
from tidewatch.sentiment.labels.posts import post_key
from tidewatch.sentiment.labels.store import WRITERS, require_person

_IN_ONE_RECORD = 2000


@dataclass(frozen=True)
class Ref:
    """Which posts are meant: the one of a platform, or every one of a text. Give one of the two."""

    platform: str | None = None
    native_id: str | None = None
    text_sha256: str | None = None

    def __post_init__(self) -> None:
        by_id = self.platform is not None and self.native_id is not None
        if by_id == (self.text_sha256 is not None) or (self.platform is None) != (self.native_id is None):
            raise ConfigError(
                "It is not clear which post is meant",
                expected="a platform with the id of the post there, or the SHA-256 of a text",
                found="something else",
                do="give one of the two",
            )

    @property
    def key(self) -> str:
        """The identity that is meant first."""
        platform = None if self.platform is None else self.platform.strip().lower()
        native_id = None if self.native_id is None else self.native_id.strip()
        return post_key(platform, native_id, self.text_sha256 or "")


@dataclass(frozen=True)
class Deleted:
    """What was deleted, or would be: posts and their labels; `before`: posts that were deleted earlier."""

    posts: int
    labels: int
    before: int


def delete(
    conn: Connection, which: Sequence[Ref], *, by: str, reason: str, now: datetime, dry_run: bool = False
) -> Deleted:
    """Delete posts with their texts, labels and scores, and record it in the ledger as hashes and counts.

    A text without an identity that equals the text of a deleted post is deleted with it: nobody can tell the
    two apart. `dry_run` only counts. Again it changes nothing. In the caller's transaction, which must end
    soon: writers of labels wait for it. Raises NotFound where none of `which` is or was there, ConfigError
    for a name or a reason that is missing.
    """
    by, reason, moment = by.strip(), reason.strip(), require_utc(now)
    require_person(by)
    if not reason:
        raise ConfigError(
            "Posts are deleted for a reason",
            expected="a sentence without personal data",
            found="nothing",
            do="say why",
        )
    meant = {"keys": [r.key for r in which], "texts": [r.text_sha256 for r in which if r.text_sha256]}
    execute(conn, "sentiment/labels/lock_readers", {"lock": WRITERS})
    rows = execute(conn, "sentiment/labels/delete_find", meant).fetchall()
    known = execute(conn, "sentiment/labels/delete_known", meant).fetchone()
    result = Deleted(len(rows), sum(r["labels"] for r in rows), known["before"] if known else 0)
    if not rows and not result.before:
        raise NotFound(
            "There is no such post",
            expected="a post of the label store, by platform and id or by the SHA-256 of its text",
            found="none",
            do="look the id up with `tidewatch labels list`; posts that were never labelled are not here",
        )
    if dry_run or not rows:
        return result
    gone = {
        "keys": [r["post_key"] for r in rows],
        "texts": [r["text_sha256"] for r in rows],
        "labels": [r["labels"] for r in rows],
    }
    execute(conn, "sentiment/labels/delete_record", {**gone, "now": moment})
    execute(conn, "sentiment/labels/delete_posts", {"ids": [r["post_id"] for r in rows]})
    execute(conn, "sentiment/labels/delete_texts", gone)
    for start in range(0, len(rows), _IN_ONE_RECORD):
        part = rows[start : start + _IN_ONE_RECORD]
        body = LabelsDeleted.model_validate(
            {
                "posts": [{k: r[k] for k in ("post_key", "text_sha256", "labels")} for r in part],
                "labels": sum(r["labels"] for r in part),
                "deleted_by": by,
                "reason": reason,
                "deleted_at": moment,
            }
        )
        ledger.append(conn, kind=body.KIND, subject=part[0]["post_key"], body=body, now=moment)
    return result
