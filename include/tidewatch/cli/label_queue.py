"""`tidewatch labels offer` and `forget`: what waits for a label on the labelling page."""

import re
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewatch.cli.common import Json, print_json, print_line, settings, warehouse
from tidewatch.core.clock import utc_now
from tidewatch.core.config import read_yaml
from tidewatch.core.errors import ConfigError

if TYPE_CHECKING:
    from tidewatch.sentiment.labels.importing import ImportReport
    from tidewatch.sentiment.labels.mapping import LabelsFile
    from tidewatch.sentiment.labels.offering import OfferReport

_SHOWN = 20


def offer(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".csv .tsv .xlsx .parquet .json .jsonl")],
    mapping: Annotated[
        str, typer.Option(metavar="NAME", help="How it is read: a mapping of config/labels.yaml.")
    ] = "default",
    most: Annotated[int, typer.Option(min=1, max=10_000, help="So many at most.")] = 500,
    check: Annotated[bool, typer.Option("--check", help="Say what would happen, keep nothing.")] = False,
    as_json: Json = False,
) -> int:
    """The champion scores the posts of a file; those of which it is least sure, and that nobody has labelled,
    wait for a person on the page Labelling of the console. Exit code 1 when rows were refused.

    Example:

        tidewatch labels offer posts.csv --mapping weibo_zh --most 500
    """
    from tidewatch.sentiment.labels.offering import offer_file

    with warehouse() as conn:
        done = offer_file(
            conn, file, labels_config(), mapping=mapping, most=most, now=utc_now(), dry_run=check
        )
    if as_json:
        print_json({**asdict(done), "kept": not check})
        return 1 if done.reasons else 0
    sure = f", of which the champion is {done.least:.0%} to {done.most:.0%} sure" if done.offered else ""
    print_line(
        f"{done.rows} rows, {done.texts} different texts; version {done.version} scored them. "
        f"{done.offered} wait for a label{sure}. Passed over: {done.labelled} labelled or "
        f"deleted, {done.copies} copies."
    )
    if done.shadow is not None:
        print_line(f"Version {done.shadow} scored them too and says something else of {done.differing}.")
    say_refusals(done, kept=not check)
    return 1 if done.reasons else 0


def forget(
    older_than: Annotated[str, typer.Option(metavar="DAYS", help="Offered longer ago than this, as 90d.")],
    check: Annotated[bool, typer.Option("--check", help="Say what would go, keep everything.")] = False,
    as_json: Json = False,
) -> int:
    """Texts of people who were never asked about are not kept for longer than they are of use. Labelled posts
    stay.

    Example:

        tidewatch labels forget --older-than 90d
    """
    from tidewatch.sentiment.labels.queue import forget as forget_posts

    age = _days(older_than)
    with warehouse() as conn, conn.transaction(force_rollback=check):
        gone = forget_posts(conn, before=utc_now() - age)
    if as_json:
        print_json({"forgotten": gone, "done": not check})
    else:
        print_line(f"{gone} posts would go. Nothing was changed." if check else f"{gone} posts are gone.")
    return 0


def _days(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,5})d", text.strip(), re.ASCII)
    if found is None:
        raise ConfigError(
            "It is not clear how old is too old",
            expected="a number of days, such as 90d",
            found=text[:40],
            do="write it like that",
        )
    return timedelta(days=int(found[1]))


def labels_config() -> "LabelsFile":
    """config/labels.yaml. Raises ConfigError."""
    from tidewatch.sentiment.labels.mapping import LabelsFile

    return read_yaml(settings().config_dir / "labels.yaml", LabelsFile)


def say_refusals(report: "ImportReport | OfferReport", *, kept: bool) -> None:
    """How many rows were refused why, and which."""
    if not kept:
        print_line("Nothing was kept: this was a check.")
    for reason, n in report.reasons.items():
        rows = [r for r in report.refused if r.reason == reason]
        print_line(
            f"- {n} refused, {reason}: " + "; ".join(f"row {r.row}" for r in rows[:_SHOWN]) + _more(rows)
        )
        if rows:
            print_line(f"    {rows[0].said}")


def _more(rows: list[Any]) -> str:
    return " …" if len(rows) > _SHOWN else ""
