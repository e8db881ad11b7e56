"""`tidewatch models retrain`, `retrainings`, `approve` and `reject`: a new champion without Airflow."""

import getpass
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewatch.cli.common import Json, print_json, print_line, print_table, say, settings, warehouse
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment
from tidewatch.core.errors import ConfigError

if TYPE_CHECKING:
    from tidewatch.sentiment.retraining.decide import Answer
    from tidewatch.sentiment.retraining.run import RetrainContext
    from tidewatch.sentiment.retraining.runs import Retraining

_DAG = "cli"
Run = Annotated[str, typer.Argument(metavar="RUN", help="As `tidewatch models retrainings` shows it.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who acts: a person whom one can ask.")]


def retrain(
    by: By,
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="Go on with this run, after it was stopped.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Freeze the labels, judge them, train a challenger, measure it beside the champion and judge it, as the
    Dag retrain_model does every month. Nothing scores with it yet: `tidewatch models approve` does that.

    Exit code 1 when there are not enough labels, or a gate refuses.

    Example:

        tidewatch models retrain --by "Li Wei"
    """
    from tidewatch.sentiment.retraining import run as steps
    from tidewatch.vault.manifest import RunRef

    context = _context()
    ref = RunRef(dag_id=_DAG, run_id=run_id or f"cli-{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
    say(f"run {ref.run_id}")
    steps.begin(context, ref, by)
    steps.freeze(context, ref.run_id)
    data = steps.judge_data(context, ref)
    if data.state == "passed":
        steps.train(context, ref)
        steps.measure(context, ref)
        steps.judge_model(context, ref)
    return _show(ref.run_id, as_json)


def retrainings(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Show this one with every figure; without it, list all."),
    ] = None,
    end: Annotated[
        bool, typer.Option("--end", help="End this run: its process is gone, and it stands in the way.")
    ] = False,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who ends it; without it, you.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="List so many at most.")] = 20,
    as_json: Json = False,
) -> int:
    """The newest first, each with its state; docs/retraining.md says what each means. One of them with the
    figures of both models on each set of held-out posts, the gates, and what is missing.

    Examples:

        tidewatch models retrainings

        tidewatch models retrainings --end RUN
    """
    if end:
        return _end(run, by)
    if run is not None:
        _show(run, as_json)
        return 0
    from tidewatch.sentiment.retraining import runs

    with warehouse() as conn:
        found = runs.retrainings(conn, most=n)
    if as_json:
        print_json([asdict(each) for each in found])
    elif found:
        columns = ["run", "state", "started", "by", "champion", "challenger", "decided by", "note"]
        print_table(columns, [_row(each) for each in found])
    else:
        print_line("No retraining has begun")
    return 0


def approve(
    run: Run,
    by: By,
    note: Annotated[str, typer.Option(metavar="TEXT", help="What somebody should read who asks later.")] = "",
    as_json: Json = False,
) -> int:
    """Make the challenger of a run the champion. Refused when the champion is another one by now than the one
    it was compared with. Airflow is not told: a run of retrain_model that still asks is answered there.

    Example:

        tidewatch models approve scheduled__2026-12-03T01:00:00+00:00 --by "Li Wei"
    """
    return _decide(run, "approved", by, note, as_json)


def reject(
    run: Run,
    by: By,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why: the ledger keeps it.")],
    as_json: Json = False,
) -> int:
    """Leave the champion, and end the run.

    Example:

        tidewatch models reject RUN --by "Li Wei" --note "it misses complaints about delivery"
    """
    return _decide(run, "rejected", by, note, as_json)


def _decide(run_id: str, decision: "Answer", by: str, note: str, as_json: bool) -> int:
    from tidewatch.sentiment.retraining import runs
    from tidewatch.sentiment.retraining.decide import decide

    with warehouse() as conn:
        made = decide(conn, run_id, decision=decision, by=by, note=note, via="command_line", now=utc_now())
        run = runs.get(conn, run_id)
    if as_json:
        print_json(asdict(made))
    else:
        scores = f"version {made.champion} scores" if made.champion is not None else "no version scores yet"
        print_line(f"{run_id} is {made.state}, record {made.ledger_seq} of the ledger; {scores}")
        if made.state == "promoted" and run.dag_id != _DAG:
            print_line(f"Now clear `promote` of this run of {run.dag_id}: Dags that follow the champion wait")
    return 0


def _end(run: str | None, by: str | None) -> int:
    from tidewatch.sentiment.retraining import runs

    if run is None:
        raise ConfigError(
            "Which run is to end?",
            expected="`--end RUN`",
            found="no run",
            do="`tidewatch models retrainings` shows them",
        )
    with warehouse() as conn:
        ended = runs.end(conn, run, by=by or getpass.getuser(), now=utc_now())
    print_line(f"{ended.run_id} is {ended.state}")
    return 0


def _show(run_id: str, as_json: bool) -> int:
    """Print a run; 1 when it was stopped before a person is asked."""
    from tidewatch.sentiment.retraining import runs
    from tidewatch.sentiment.retraining.run import summary

    with warehouse() as conn:
        run, facts = runs.get(conn, run_id), summary(conn, run_id)
    if as_json:
        print_json(asdict(run) | {"sets": facts["sets"]})
    else:
        _print(run, facts)
    return 1 if run.state in runs.STOPPED else 0


def _print(run: "Retraining", facts: Mapping[str, Any]) -> None:
    print_line(
        f"{run.run_id}: {run.state}; challenger {_version(run.challenger)}, compared with "
        f"{_version(run.champion)}"
    )
    if run.decided_by:
        print_line(f"{run.state} by {run.decided_by} through {run.via}: {run.note or 'no note'}")
    if run.split:
        print_line(
            f"{run.split['train']['n']} texts to train on, {run.split['held_out']['n']} held out, "
            f"{run.split['left_out']['like_held_out']} left out because they are like those"
        )
    if facts["sets"]:
        columns = ["set", "n", "challenger %", "champion %", "difference", "p", "ECE", "without emoticons %"]
        print_table(columns, [_set(one) for one in facts["sets"]])
    for name, gate in facts["gates"].items():
        print_line(f"gate {name}: {_verdict(gate)}")
        _items("- ", gate["critical"])
        _items("- warning: ", gate["warnings"])
    if run.missing:
        print_line("Not enough labels for the test to mean anything (docs/retraining.md):")
        print_table(["", "have", "needed", "missing", "to label, about"], _missing(run.missing))
    elif run.told:
        _items("", [str(run.told["why"])] if "why" in run.told else [])
    if run.state == "awaiting":
        print_line(f"To decide: `tidewatch models approve {run.run_id} --by NAME`, or reject")


_PARTS = {
    "test": "held-out posts, {}",
    "train": "posts to train on, {}",
    "paired": "held-out posts in all",
}


def _verdict(gate: Mapping[str, Any]) -> str:
    if gate["passed"]:
        return "passed"
    return "NOT PASSED" if gate["critical"] else "nothing against the labels, but they are too few"


def _missing(missing: Mapping[str, Any]) -> list[list[Any]]:
    """A row for each number of labels that falls short."""
    rows = []
    for part, found in missing.items():
        for name, lack in {"": found}.items() if "have" in found else found.items():
            what = _PARTS[part].format(name)
            rows.append([what, lack["have"], lack["needed"], lack["missing"], lack["to_label"]])
    return rows


def _items(mark: str, lines: Iterable[str]) -> None:
    for line in lines:
        print_line(f"{mark}{line}")


def _row(run: "Retraining") -> list[Any]:
    by = run.started_by or "the schedule"
    return [run.run_id, run.state, run.started_at, by, run.champion, run.challenger, run.decided_by, run.note]


def _set(one: Mapping[str, Any]) -> list[Any]:
    own, champion = one["challenger"], one["champion"]
    return [
        one["set"],
        one["n"],
        _share(own["accuracy"]),
        _share(champion["accuracy"]) if champion else None,
        f"{100 * one['difference']:+.1f} ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"
        if champion
        else None,
        f"{one['p_value']:.2g}" if champion else None,
        f"{own['ece']:.3f}",
        _share(own["without_emoticons"]) if own["without_emoticons"] else None,
    ]


def _share(share: Mapping[str, Any]) -> str:
    return f"{100 * share['value']:.1f} ({100 * share['low']:.1f} to {100 * share['high']:.1f})"


def _version(number: int | None) -> str:
    return f"version {number}" if number is not None else "none"


def _context() -> "RetrainContext":
    from tidewatch.sentiment.retraining.run import build_context

    return build_context(settings(), from_environment, clock=utc_now, progress=say)
