"""The demonstration: the stack, sample data, and a backup of each source by the scheduler, as it goes.

Its verdict is taken from the catalogue, not from Airflow: it succeeds only when every source has a sealed
backup of this very run.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidewatch.core import processes
from tidewatch.core.clock import utc_now
from tidewatch.core.config import read_yaml
from tidewatch.core.database import connect
from tidewatch.core.processes import StackError
from tidewatch.core.progress import human_bytes
from tidewatch.core.regions import RegionsFile
from tidewatch.core.settings import load_settings
from tidewatch.core.sources import SourcesFile
from tidewatch.local import databases
from tidewatch.local.airflow import DAEMONS, LOGIN, LocalAirflow
from tidewatch.local.console import print_login, reporter, waiting
from tidewatch.local.rest import FINISHED, AirflowApi, TaskState
from tidewatch.local.stack import Report, Stack, locked
from tidewatch.local.tasklog import last_error, log_file
from tidewatch.vault import catalogue

BACKUP_DAG = "back_up_sources"
_MAPPED_OVER = {BACKUP_DAG: "plan", "probe_regions": "list_regions", "heal_copies": "find_degraded"}
"""Dag -> the task whose list its mapped tasks work through, one item each."""
_PARSE_SECONDS = 120.0
_SCHEDULED_SECONDS = 15.0
_POLL_SECONDS = 1.5


@dataclass
class Run:
    """A Dag run that is watched. `seen`: task -> state last shown; `items`: what mapped tasks work on."""

    dag_id: str
    run_id: str
    state: str = "queued"
    seen: dict[str, str] = field(default_factory=dict)
    items: list[str] = field(default_factory=list)
    behind: str = ""
    """The run of the same Dag that this one was seen to wait for."""


def demonstrate(console: Console, *, scale: float, minutes: float) -> int:
    """Everything, with visible progress. Returns the exit code: 0 only if every source is sealed."""
    started = time.monotonic()
    settings = load_settings()
    report = reporter(console)
    with locked(settings.home, waiting(console)):
        stack = Stack(settings)
        stack.begin(report)
        _seed(stack, scale, report)
        stack.finish(report)
    with contextlib.closing(AirflowApi(stack.airflow.url, LOGIN, stack.airflow.password)) as api:
        _wait_for_dags(api, stack)
        deadline = time.monotonic() + minutes * 60
        console.print("\nThe scheduler takes over:")
        runs = [_begin_run(api, "probe_regions"), _begin_run(api, BACKUP_DAG)]
        _watch(console, stack.airflow, api, runs, deadline)
        runs.append(_begin_run(api, "heal_copies"))
        _watch(console, stack.airflow, api, runs[-1:], deadline)
        failures = _show_failures(console, stack, api, runs)
    sealed = _show_backups(console, stack, next(r.run_id for r in runs if r.dag_id == BACKUP_DAG))
    print_login(console, stack)
    console.print(f"[dim]{time.monotonic() - started:.0f} s in all[/]")
    return 0 if sealed and not failures else 1


def _seed(stack: Stack, scale: float, report: Report) -> None:
    """Sample data; on a further demonstration a day passes in it: there is something new to back up."""
    from tidewatch.local.seed import age_ops, seed_media, seed_ops

    started = time.monotonic()
    dsn = databases.dsn(stack.postgres, stack.home, "ops")
    made = seed_ops(dsn, scale=scale, today=utc_now().date())
    if not made.created:
        made = age_ops(dsn, 1)
    media = seed_media(stack.home / "media", scale=scale)
    databases.grant_large_objects(stack.postgres)
    detail = f"ops {made.total:,} rows, media {media.total:,} files"
    report("sample data", detail + ("" if made.created else " (one more day)"), time.monotonic() - started)


def _wait_for_dags(api: AirflowApi, stack: Stack) -> None:
    wanted = {BACKUP_DAG, "heal_copies", "probe_regions"}
    deadline = time.monotonic() + _PARSE_SECONDS
    while missing := wanted - api.dag_ids():
        errors = api.import_errors()
        if errors or time.monotonic() > deadline:
            raise StackError(
                f"Airflow does not show the Dags {', '.join(sorted(missing))}",
                expected=f"them within {_PARSE_SECONDS:.0f} s, and no import error",
                found="; ".join(errors) or "nothing",
                do=f"read {stack.airflow.logs / 'dag-processor.log'}, correct the Dag file",
            )
        time.sleep(1.0)


def _begin_run(api: AirflowApi, dag_id: str) -> Run:
    """A fresh run. Unpausing makes the scheduler create the run of the last interval: that one is taken then,
    a run beside it would back up everything twice."""
    before = set(api.run_ids(dag_id))
    if api.unpause(dag_id):
        deadline = time.monotonic() + _SCHEDULED_SECONDS
        while time.monotonic() < deadline:
            fresh = [run_id for run_id in api.run_ids(dag_id) if run_id not in before]
            if fresh:
                return Run(dag_id, fresh[0])
            time.sleep(0.5)
    # An interrupted demonstration left a run that has not begun: one more behind it would only be waited for.
    waiting = [run_id for run_id in api.run_ids(dag_id)[:5] if api.run_state(dag_id, run_id) == "queued"]
    return Run(dag_id, waiting[-1] if waiting else api.trigger(dag_id))


def _watch(
    console: Console, airflow: LocalAirflow, api: AirflowApi, runs: list[Run], deadline: float
) -> None:
    """Until every run has finished; a line for each task that begins or ends, a spinner at a terminal."""
    with _spinner(console, runs):
        while pending := [run for run in runs if run.state not in FINISHED]:
            for run in pending:
                # Asked before the tasks: when the run is over, the states read afterwards are the last ones.
                run.state = api.run_state(run.dag_id, run.run_id)
                _show_changes(console, api, run)
                if run.state == "queued" and not run.behind:
                    _show_queue(console, api, run)
            require_alive(airflow)
            if time.monotonic() > deadline:
                raise StackError(
                    "The runs did not finish in time",
                    expected="success or failure of each",
                    found=", ".join(f"{run.dag_id} is {run.state}{_behind(run)}" for run in pending),
                    do="they go on by themselves: look at Airflow's page, or give more time with --minutes",
                )
            time.sleep(_POLL_SECONDS)


def require_alive(airflow: LocalAirflow) -> None:
    """Raises StackError when a part of Airflow has ended: without it the runs would never finish."""
    for name in DAEMONS:
        if not airflow.running(name):
            log = airflow.logs / f"{name}.log"
            raise StackError(
                f"Airflow's {name} has ended while the runs were at work",
                expected="it to run until `make down`",
                found=f"no such process; the last lines of {log}:\n{processes.tail(log)}\n",
                do="run the same command again: it starts what is missing, and the runs go on",
            )


def _show_queue(console: Console, api: AirflowApi, run: Run) -> None:
    """A Dag has one run at a time: a scheduled one that fell due just now goes first."""
    others = [run_id for run_id in api.run_ids(run.dag_id)[:5] if run_id != run.run_id]
    run.behind = next((o for o in others if api.run_state(run.dag_id, o) == "running"), "")
    if run.behind:
        console.print(f"  {run.dag_id:<16} {'waits for ' + run.behind:<34} [yellow]one run at a time[/]")


def _behind(run: Run) -> str:
    return f" behind {run.behind}" if run.state == "queued" and run.behind else ""


@contextlib.contextmanager
def _spinner(console: Console, runs: list[Run]) -> Iterator[None]:
    if console.is_terminal:
        with console.status(" + ".join(run.dag_id for run in runs)):
            yield
    else:
        yield


_SHOWN = {
    "running": "[cyan]begins[/]",
    "success": "[green]done[/]",
    "failed": "[red]failed[/]",
    "up_for_retry": "[yellow]tries again[/]",
    "upstream_failed": "[red]not run[/]",
}


def _show_changes(console: Console, api: AirflowApi, run: Run) -> None:
    for task in api.tasks(run.dag_id, run.run_id):
        key = f"{task.task_id}/{task.map_index}"
        shown = f"{task.state}/{task.try_number}"
        if run.seen.get(key) == shown or task.state not in _SHOWN:
            continue
        run.seen[key] = shown
        took = f"  [dim]{task.seconds:.1f} s[/]" if task.state == "success" and task.seconds else ""
        label = escape(_label(api, run, task))
        console.print(f"  {run.dag_id:<16} {label:<34} {_SHOWN[task.state]}{took}")


def _label(api: AirflowApi, run: Run, task: TaskState) -> str:
    """`stage ops`: the task, and what a mapped one works on."""
    name = task.task_id.rsplit(".", 1)[-1]
    if task.map_index < 0 or task.what:
        return f"{name} {task.what or ''}".rstrip()
    if not run.items:
        run.items = api.returned(run.dag_id, run.run_id, _MAPPED_OVER[run.dag_id])
    return f"{name} {run.items[task.map_index] if task.map_index < len(run.items) else task.map_index}"


def _show_failures(console: Console, stack: Stack, api: AirflowApi, runs: list[Run]) -> int:
    """Each failed task with its error and its log; returns how many runs failed."""
    for run in runs:
        for task in api.tasks(run.dag_id, run.run_id) if run.state == "failed" else []:
            if task.state != "failed":
                continue
            path = log_file(stack.airflow.home, run.dag_id, run.run_id, task)
            console.print(f"\n[red]{run.dag_id}: {escape(_label(api, run, task))} failed[/]")
            console.print(f"  {last_error(path)}", markup=False)
            console.print(f"  log: {path}", markup=False)
    return sum(run.state == "failed" for run in runs)


def _show_backups(console: Console, stack: Stack, run_id: str) -> bool:
    """The table; True when every source has a sealed backup of this run."""
    config = stack.settings.config_dir
    sources = [source.name for source in read_yaml(config / "sources.yaml", SourcesFile).sources]
    regions = [region.name for region in read_yaml(config / "regions.yaml", RegionsFile).regions]
    table = Table("source", "rows/files", "bytes in", "stored", "verdict", *regions, "seconds")
    sealed = set()
    dsn = databases.dsn(stack.postgres, stack.home, "tidewatch")
    with connect(dsn, application_name="tidewatch demo") as conn:
        for name in sources:
            found = catalogue.find(conn, name, run_id)
            if found is None:
                table.add_row(name, "", "", "", "[red]none[/]", *[""] * len(regions), "")
                continue
            if found.status == "sealed":
                sealed.add(name)
            copies = catalogue.copies(conn, found.backup_id)
            table.add_row(*_cells(found, copies, regions))
    console.print()
    console.print(table)
    return sealed == set(sources)


def _cells(backup: catalogue.Backup, copies: list[catalogue.Copy], regions: list[str]) -> list[str]:
    totals = backup.totals
    count = f"{totals.rows:,} rows" if totals.rows is not None else f"{totals.files or 0:,} files"
    colour = "green" if backup.status == "sealed" else "red"
    took = (backup.ended_at - backup.started_at).total_seconds() if backup.ended_at else None
    return [
        backup.source,
        count,
        human_bytes(totals.plain_size),
        human_bytes(totals.cipher_size),
        f"[{colour}]{backup.status}[/]",
        *[_region_cell([c for c in copies if c.region == region]) for region in regions],
        f"{took:.1f}" if took is not None else "",
    ]


def _region_cell(copies: list[catalogue.Copy]) -> str:
    if not copies:
        return "[red]nothing[/]"
    verified = [c for c in copies if c.state == "verified"]
    if len(verified) < len(copies):
        return f"[red]{len(verified)} of {len(copies)} verified[/]"
    until = min((c.retain_until for c in verified if c.retain_until), default=None)
    return f"✓ until {_day(until)}" if until else "✓ not locked"


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")
