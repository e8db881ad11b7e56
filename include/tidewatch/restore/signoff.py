"""What a person says to the report of a run: signed, refused; or nobody did: unsigned.

A sign-off is of the report's SHA-256, stands in the ledger, and the head of the ledger then goes into every
region. Nothing here ever says yes by itself.
"""

import contextlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError, NotFound, TidewatchError
from tidewatch.core.plain import shows
from tidewatch.core.signing import SigningKey
from tidewatch.evidence import ledger
from tidewatch.evidence.anchoring import Anchored, anchor
from tidewatch.evidence.schemas import RestoreSigned
from tidewatch.notices import outbox
from tidewatch.restore import messages
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.targets import load_targets

Decision = Literal["signed", "refused", "unsigned"]
Via = Literal["airflow", "console", "cli", "timeout"]
_LONGEST_NAME, _LONGEST_NOTE = 200, 2000


class SignOffRefused(TidewatchError):
    """This person may not sign this report, or somebody has answered for it already."""


@dataclass(frozen=True)
class SignOff:
    """As restore.signoffs has it."""

    run_id: str
    decision: Decision
    signed_by: str | None
    note: str
    via: Via
    report_sha256: str
    signed_at: datetime
    ledger_seq: int


def sign(
    ctx: RestoreContext,
    run_id: str,
    *,
    decision: Decision,
    by: str | None,
    note: str = "",
    via: Via,
    now: datetime,
    report_sha256: str | None = None,
) -> SignOff:
    """Record what `by` says to the report of a run, then anchor the ledger's head in every region.

    `by` is None for `unsigned` only. `report_sha256`: of the report that the person has read; another one is
    not signed in its place. Said again by the same person it changes nothing; an `unsigned` report may still
    be signed or refused. Raises NotFound, ConfigError, SignOffRefused. A region in which the head cannot be
    anchored is a finding of the ledger, not an error here.
    """
    _require_complete(decision, by, note)
    moment = require_utc(now)
    starter_may = load_targets(ctx.settings).sign_off.starter_may_sign
    with contextlib.closing(ctx.connect()) as conn:
        given, new = _recorded(
            conn, run_id, decision, by, note, via, moment, starter_may=starter_may, read=report_sha256
        )
        conn.commit()
        if new:
            _anchored(ctx, conn, given, moment)
    return given


def signoff_of(conn: Connection, run_id: str) -> SignOff | None:
    """What was said to the report of a run, if anything was."""
    row = execute(conn, "restore/signoff", {"run_id": run_id}).fetchone()
    return SignOff(**row) if row else None


def _recorded(
    conn: Connection,
    run_id: str,
    decision: Decision,
    by: str | None,
    note: str,
    via: Via,
    now: datetime,
    *,
    starter_may: bool,
    read: str | None,
) -> tuple[SignOff, bool]:
    """What is recorded, and whether it was recorded just now."""
    report = execute(conn, "restore/lock_report", {"run_id": run_id}).fetchone()
    if report is None:
        raise NotFound(
            f"There is no report of run {run_id} to sign",
            expected="a run of restore tests that has come to its report",
            found="none in restore.reports",
            do="`tidewatch restores list --runs` shows the runs and their reports",
        )
    before = signoff_of(conn, run_id)
    if before is not None and (before.decision != "unsigned" or decision == "unsigned"):
        if decision == "unsigned" or (before.decision, before.signed_by) == (decision, by):
            return before, False
        raise SignOffRefused(
            f"The report of run {run_id} has been answered for",
            expected="a report that nobody has signed or refused",
            found=f"{before.decision} by {before.signed_by} at {before.signed_at:%Y-%m-%d %H:%M}Z",
            do="nothing; to say otherwise, start a new run and sign its report",
        )
    _require_allowed(run_id, report, decision, by, starter_may, read)
    if decision == "unsigned":
        outbox.post(conn, messages.unsigned(run_id, report["sha256"], note or "nobody answered in time"), now)
    body = RestoreSigned(
        run_id=run_id,
        report_sha256=report["sha256"],
        decision=decision,
        signed_by=by,
        note=note,
        via=via,
        started_by=report["started_by"],
        signed_at=now,
    )
    record = ledger.append(conn, kind=body.KIND, subject=run_id, body=body, now=now)
    given = SignOff(run_id, decision, by, body.note, via, report["sha256"], now, record.seq)
    execute(conn, "restore/put_signoff", vars(given))
    return given, True


def _require_complete(decision: Decision, by: str | None, note: str) -> None:
    named = by is not None and len(by) <= _LONGEST_NAME and shows(by)
    if (decision == "unsigned") != (by is None) or (by is not None and not named):
        raise ConfigError(
            "A sign-off needs the name of a person, and nobody's silence is a name",
            expected=f"a name of at most {_LONGEST_NAME} characters that can be seen with `signed` and "
            "`refused`, none with `unsigned`",
            found=f"{decision} by {by!r:.80}",
            do="say who signs",
        )
    if len(note) > _LONGEST_NOTE or (decision == "refused" and not shows(note)):
        raise ConfigError(
            "The note of a sign-off cannot be used",
            expected=f"at most {_LONGEST_NOTE} characters; a refusal says why",
            found=f"{len(note)} characters",
            do="write what an auditor should read",
        )


def _require_allowed(
    run_id: str,
    report: dict[str, Any],
    decision: Decision,
    by: str | None,
    starter_may: bool,
    read: str | None,
) -> None:
    if read is not None and read != report["sha256"]:
        raise SignOffRefused(
            f"The report of run {run_id} is not the one that was read",
            expected=f"SHA-256 {report['sha256']}",
            found=f"SHA-256 {read}",
            do="read the report again: tests were made after it",
        )
    starter = report["started_by"]
    same = by is not None and starter is not None and _plain(by) == _plain(starter)
    if decision == "signed" and same and not starter_may:
        raise SignOffRefused(
            f"{by} started run {run_id} and may not sign its report",
            expected="another person: sign_off.starter_may_sign in config/restore_tests.yaml is false",
            found=f"the run was started by {starter}",
            do=f"let somebody else sign: `tidewatch restores sign {run_id}`",
        )


def _plain(name: str) -> str:
    """Without what makes two spellings of one name differ: case, width, blanks, what cannot be seen."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(c for c in text if c.isprintable() and not c.isspace())


def _anchored(ctx: RestoreContext, conn: Connection, given: SignOff, now: datetime) -> Anchored | None:
    """The sign-off is recorded whatever becomes of this: without the signing key, or when the ledger cannot
    be read, the daily anchor follows."""
    why = f"the report of restore tests {given.run_id} is {given.decision}"
    try:
        key = SigningKey.load(ctx.settings.signing_key_file)
        anchored = anchor(conn, ctx.regions, key, now, why)
    except TidewatchError as error:
        ctx.progress(f"the ledger's head was not anchored now, the daily run does it: {error}")
        return None
    for region, problem in (anchored.missing if anchored else {}).items():
        ctx.progress(f"{region}: the ledger's head does not lie there yet: {problem}")
    return anchored
