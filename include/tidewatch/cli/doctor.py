"""`tidewatch doctor`: is everything as it should be? For cron, health checks and monitoring."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tidewatch.cli.common import Json, print_json, print_line, print_table, settings
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment

if TYPE_CHECKING:
    from tidewatch.backup.health.check import Check

_MARKS = {"ok": "ok", "warning": "WARNING", "problem": "PROBLEM", "unknown": "not asked"}


def doctor(
    full: Annotated[
        bool, typer.Option("--full", help="Read a long ledger whole, not only since the last check.")
    ] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Leave out a check, e.g. disk or source:ops; may be repeated."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings, too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what is not ok: for cron.")] = False,
    tell: Annotated[
        bool, typer.Option("--tell", help="Send a notice of problems through config/notices.yaml.")
    ] = False,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print metrics in Prometheus' text format.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Is everything as it should be?

    Needs no Airflow: a scheduler that does not run is found here, by the backups that it did not begin. Asked
    are backups and their age, what was left lying, regions, probes, clocks, the ledger and its head in every
    region, keys, disk, sources, pg_dump, configuration, notices. What is down is an answer, and keeps no
    other question from being asked. Nothing is changed.

    Exit code 0 when there is no problem, 1 when there is one. Limits are in config/doctor.yaml and, for the
    age of a source's newest backup, in config/sources.yaml. docs/doctor.md shows it in cron, in a container
    and in monitoring.

    Examples:

        tidewatch doctor

        tidewatch doctor --quiet --tell
    """
    from tidewatch.backup.health.examine import examine

    here = settings()
    checks = examine(here, from_environment, utc_now, full=full, skip=skip or [])
    bad = [c for c in checks if c.state in ("problem", "unknown") or (strict and c.state == "warning")]
    if as_json:
        print_json({"ok": not bad, "at": utc_now(), "checks": [asdict(c) for c in checks]})
    elif prometheus:
        _print_metrics(checks)
    else:
        _print(checks, quiet)
    if tell:
        from tidewatch.backup.health.tell import tell as send

        for line in send(here, from_environment, checks, utc_now()):
            print_line(line)
    return 1 if bad else 0


def _print(checks: "list[Check]", quiet: bool) -> None:
    order = {"problem": 0, "unknown": 1, "warning": 2, "ok": 3}
    shown = sorted((c for c in checks if not quiet or c.state != "ok"), key=lambda c: order[c.state])
    if shown:
        print_table(
            ["check", "", "found"],
            [[c.title, _MARKS[c.state], c.found + (f". To do: {c.do}" if c.do else "")] for c in shown],
        )
    counts = {state: sum(c.state == state for c in checks) for state in order}
    if not quiet or shown:
        print_line(
            f"{counts['problem']} problems, {counts['warning']} warnings, {counts['unknown']} not asked, "
            f"{counts['ok']} ok"
        )


def _print_metrics(checks: "list[Check]") -> None:
    """0 ok, 1 warning, 2 problem, 3 not asked; nothing but names, so that no text changes a series."""
    values = {"ok": 0, "warning": 1, "problem": 2, "unknown": 3}
    print("# HELP tidewatch_check 0 ok, 1 warning, 2 problem, 3 not asked")
    print("# TYPE tidewatch_check gauge")
    for check in checks:
        print(
            f'tidewatch_check{{check="{check.name}",subject="{_label(check.subject)}"}} {values[check.state]}'
        )
    print("# HELP tidewatch_doctor_run_timestamp_seconds When these were asked")
    print("# TYPE tidewatch_doctor_run_timestamp_seconds gauge")
    print(f"tidewatch_doctor_run_timestamp_seconds {utc_now().timestamp():.0f}")


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
