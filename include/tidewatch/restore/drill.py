"""The monthly restore test: which backups are restored from which regions, and what is kept of each test.

A failure is never hidden: every attempt has a row of its own and a record in the ledger, and the finding that
a failure opens stays open until a later test of the same source, region and choice passes.
"""

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection, execute, try_lock, unlock
from tidewatch.core.errors import Busy, ConfigError
from tidewatch.core.plain import is_plain, shows
from tidewatch.core.sources import Source
from tidewatch.evidence.findings import open_findings
from tidewatch.restore import results
from tidewatch.restore.choose import candidates
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.recording import FINDING, Outcome, Recorder
from tidewatch.restore.results import Planned
from tidewatch.restore.scratch import end_leftovers, scratch_directory
from tidewatch.restore.targets import RestoreTestsFile
from tidewatch.restore.trial import restore_and_check
from tidewatch.vault.catalogue import GOOD
from tidewatch.vault.manifest import RunRef

_DIED = "its process ended without a word"
_LONGEST_RUN = 250
"""As in Airflow."""


@dataclass(frozen=True)
class Selection:
    """What a run tests; empty: all there are."""

    sources: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    def pairs(self, ctx: RestoreContext) -> list[tuple[str, str]]:
        """(source, region) of everything chosen, in the order of the configuration. Raises NotFound for a
        name that is not there."""
        sources: list[Source] = [ctx.sources.source(name) for name in self.sources]
        regions = [ctx.region(name) for name in self.regions]
        return [
            (source.name, region.name)
            for source in sources or ctx.sources.sources
            for region in candidates(ctx, source.name, ctx.regions)
            if not regions or region in regions
        ]


def plan(ctx: RestoreContext, run_id: str, selection: Selection, *, older: bool) -> list[Planned]:
    """The tests of a run: of each source and region the newest good backup and, with `older`, one older one.

    Which older one follows from the run's id, so that a run can be repeated; one that did not pass is taken
    again until it does. A source without a good backup has no test: the gate says so. What killed tests left
    is ended first. Raises ConfigError for an id that could not be recorded when the tests are over.
    """
    _require_run_id(run_id)
    for name in end_leftovers(ctx.settings):
        ctx.progress(f"what the killed test {name} had left is removed")
    with contextlib.closing(ctx.connect()) as conn:
        end_dead(conn, ctx.now())
        failed = {f.key: str(f.detail.get("backup_id")) for f in open_findings(conn, kind=FINDING)}
        planned: list[Planned] = []
        backups: dict[str, list[dict[str, Any]]] = {}
        for source, region in selection.pairs(ctx):
            if source not in backups:
                backups[source] = _good(conn, source, ctx.now())
            planned += _of_pair(source, region, backups[source], run_id, failed, older=older)
        conn.commit()
    return planned


def _require_run_id(run_id: str) -> None:
    if not (shows(run_id) and len(run_id) <= _LONGEST_RUN and all(map(is_plain, run_id))):
        raise ConfigError(
            "A run of restore tests cannot have this id",
            expected=f"1 to {_LONGEST_RUN} characters that can be seen, in one line",
            found=f"{run_id!r:.80} of {len(run_id)} characters",
            do="choose another one, or leave it out",
        )


def _good(conn: Connection, source: str, at: datetime) -> list[dict[str, Any]]:
    parameters = {"source": source, "statuses": list(GOOD), "at": at}
    return execute(conn, "restore/candidates", parameters).fetchall()


def _of_pair(
    source: str,
    region: str,
    backups: Sequence[dict[str, Any]],
    run_id: str,
    failed: dict[str, str],
    *,
    older: bool,
) -> list[Planned]:
    if not backups:
        return []
    # The newest of all, not the newest that this region has: one that lacks it must not pass with less.
    latest = Planned(source, region, "latest", backups[0]["backup_id"])
    there = sorted(b["backup_id"] for b in backups[1:] if region in b["regions"])
    if not older or not there:
        return [latest]
    again = failed.get(Planned(source, region, "older", "").finding)
    drawn = there[int(sha256_hex(f"{run_id}\n{source}\n{region}".encode()), 16) % len(there)]
    return [latest, Planned(source, region, "older", again if again and again in there else drawn)]


def end_dead(conn: Connection, now: datetime) -> list[str]:
    """Give tests whose process is gone their end, in the caller's transaction; their ids."""
    dead = []
    for row in results.running(conn):
        planned = Planned(row["source"], row["region"], row["choice"], row["backup_id"])
        name = _lock(planned, row["run_id"])
        if try_lock(conn, name):
            if results.end(conn, row["test_id"], "error", now=now, error=_DIED):
                dead.append(row["test_id"])
            unlock(conn, name)
    return dead


def run_test(ctx: RestoreContext, planned: Planned, run: RunRef, file: RestoreTestsFile) -> Outcome:
    """Make one test and keep what it gave: a row, a record in the ledger, and when it did not pass a finding
    and a notice, at once. A second call for the same run is another attempt.

    Raises Busy while another process makes this test, ConfigError for a run of another Dag, and, after
    recording it, the TidewatchError that kept the test from being made. A test that was made and failed is an
    Outcome: see `raise_if_failed`.
    """
    targets = file.targets(planned.source)
    with contextlib.closing(ctx.connect()) as holder, _alone(holder, planned, run.run_id):
        began = ctx.now()
        results.require_own(holder, run.run_id, run.dag_id)
        _end_earlier(holder, planned, run.run_id, began)
        test_id = f"rt-{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        attempt = results.begin(
            holder,
            planned,
            test_id=test_id,
            dag_id=run.dag_id,
            run_id=run.run_id,
            rto_target=targets.rto_seconds,
            rpo_target=targets.rpo_seconds,
            now=began,
        )
        holder.commit()
        ctx.progress(f"{test_id}: {planned.label}: {planned.backup_id}")
        record = Recorder(ctx, planned, run, targets, test_id, attempt, began)
        try:
            with scratch_directory(ctx.settings, test_id) as place:
                trial = restore_and_check(ctx, planned, targets, place)
        except Exception as error:
            record.error(error)
            raise
        return record.made(trial)


def _end_earlier(conn: Connection, planned: Planned, run_id: str, now: datetime) -> None:
    """Attempts of this test that have no end: we hold their lock, so nobody is at work on them."""
    for row in results.running(conn):
        same = (row["run_id"], row["source"], row["region"], row["choice"])
        if same == (run_id, planned.source, planned.region, planned.choice):
            results.end(conn, row["test_id"], "error", now=now, error=_DIED)


def _lock(planned: Planned, run_id: str) -> str:
    return f"restore.test/{run_id}/{planned.source}/{planned.region}/{planned.choice}"


@contextlib.contextmanager
def _alone(conn: Connection, planned: Planned, run_id: str) -> Iterator[None]:
    """The lock ends with the session, also when the process is killed."""
    if not try_lock(conn, _lock(planned, run_id)):
        raise Busy(
            f"Another process makes the restore test of {planned.label} for this run",
            expected="one at a time",
            found="a session that holds its lock",
            do="wait until it has ended; it is recorded there",
        )
    yield
