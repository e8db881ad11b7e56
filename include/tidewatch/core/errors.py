"""The one exception tree. Every error carries the answer: what was expected, what was found, what to do.

No message may hold a secret or personal data; `str()` is safe for logs, notices and pages.
"""

from typing import Any, ClassVar

from tidewatch.core.redaction import redact


class TidewatchError(Exception):
    """Something is not as it must be. `retryable` says whether trying again by itself can help."""

    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, expected: str, found: str, do: str) -> None:
        self.what = redact(what)
        self.expected = redact(expected)
        self.found = redact(found)
        self.do = redact(do)
        super().__init__(str(self))

    def __str__(self) -> str:
        what, expected, found, do = (
            part.strip().rstrip(".") for part in (self.what, self.expected, self.found, self.do)
        )
        return f"{what}. Expected: {expected}. Found: {found}. What to do: {do}."

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders (workers, pools): keyword-only arguments need help to be rebuilt.
        # What else was attached to the error (notes) travels as state.
        rest = {k: v for k, v in self.__dict__.items() if k not in {"what", "expected", "found", "do"}}
        return _rebuild, (type(self), self.what, self.expected, self.found, self.do), rest


def _rebuild(kind: type[TidewatchError], what: str, expected: str, found: str, do: str) -> TidewatchError:
    return kind(what, expected=expected, found=found, do=do)


class ConfigError(TidewatchError):
    """A file under config/ or a setting is wrong."""


class MissingConnection(ConfigError):
    """A connection id has no definition."""


class ResidencyError(ConfigError):
    """Policy does not allow this data in that jurisdiction."""


class NotFound(TidewatchError):
    """No such source, region or backup."""


class Busy(TidewatchError):
    """Another run holds what this one needs."""


class SourceError(TidewatchError):
    """The source cannot be backed up as it is."""


class SourceUnreachable(SourceError):
    """No connection to the source."""

    retryable = True


class SourcePermission(SourceError):
    """The backup role may not read something that must be in the backup."""


class SourceEmpty(SourceError):
    """There is nothing to back up, which is more likely a mistake than a wish."""


class SourceChanged(SourceError):
    """The source changed under the reader more often than it was willing to retry."""

    retryable = True


class SourceInterrupted(SourceError):
    """A program that reads the source was ended from outside."""

    retryable = True


class ToolMissing(SourceError):
    """A program such as pg_dump is absent or too old."""


class TargetError(TidewatchError):
    """What a backup is restored to cannot take it as it is."""


class TargetUnreachable(TargetError):
    """No connection to the server that is restored to, or it was lost."""

    retryable = True


class RegionError(TidewatchError):
    """A region did not do what was asked."""


class RegionUnavailable(RegionError):
    """A region does not answer, or answers with its own failures."""

    retryable = True


class RegionRefused(RegionError):
    """A region refuses our credentials or our permission."""


class RegionMisconfigured(RegionError):
    """A region lacks what a backup needs: bucket, versioning, object lock, a place of its own."""


class ObjectMissing(RegionError):
    """The region has no such object or version."""


class AlreadyExists(RegionError):
    """A write that demanded absence found the key taken."""


class IntegrityError(TidewatchError):
    """Bytes are not the bytes they should be: hash, size or signature differ."""


class UnsupportedVersion(TidewatchError):
    """A stored file has a format newer than this program can read."""


class GateFailed(TidewatchError):
    """A data-quality gate refused a batch."""


class LedgerError(TidewatchError):
    """The evidence ledger refused a record or does not hold together."""
