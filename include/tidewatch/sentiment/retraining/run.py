"""A retraining, step by step: freeze, judge the data, train, measure, judge the model. A person then decides
(`tidewatch.sentiment.retraining.decide`).

Each step reads what it needs by the id of the run, holds the run's lock while it is at work, and commits what
it found in one transaction: killed anywhere and said again, it gives the same. A step whose result stands is
not made again. An error that does not pass by itself ends the run as `failed`; a step that is said again goes
on with it. The champion is touched by none of them.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tidewatch.core.config import read_yaml
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import Busy, ConfigError, IntegrityError, TidewatchError
from tidewatch.sentiment.labels.mapping import LabelsFile, Reliability
from tidewatch.sentiment.labels.training import TrainingSet, training_set
from tidewatch.sentiment.labels.training import freeze as freeze_labels
from tidewatch.sentiment.retraining import model_gate, runs
from tidewatch.sentiment.retraining.context import RetrainContext, build_context
from tidewatch.sentiment.retraining.model_gate import ModelVerdict, refusal
from tidewatch.sentiment.retraining.runs import DECIDED, Retraining
from tidewatch.vault.manifest import RunRef

if TYPE_CHECKING:
    from tidewatch.quality.judgement import Judgement
    from tidewatch.sentiment.retraining.splitting import Split

__all__ = [
    "DataVerdict", "ModelVerdict", "RetrainContext", "TooEarly", "begin", "build_context", "freeze",
    "judge_data", "judge_model", "measure", "summary", "train",
]  # fmt: skip

DATA_GATE = "training_data"


class TooEarly(ConfigError):
    """A step was asked for before the one that it builds on."""


@dataclass(frozen=True)
class DataVerdict:
    """What was found of the data. `missing` is JSON: how many labels of which kind there are and need be."""

    run_id: str
    state: Literal["passed", "not_enough", "refused"]
    missing: Mapping[str, Any] | None
    critical: tuple[str, ...]
    warnings: tuple[str, ...]
    docs: str | None

    def raise_if_failed(self) -> None:
        """Raises GateFailed naming what did not hold. Not enough labels is an answer, not a failure."""
        if self.state == "refused":
            raise refusal(self.run_id, DATA_GATE, self.critical, self.docs)


def begin(ctx: RetrainContext, run: RunRef, started_by: str | None) -> None:
    """Enter a run, or go on with the one of this id. `started_by`: a person; None: the schedule.

    Raises Busy while another run is open or another process is at work on this one, ConfigError for an id
    that cannot be used.
    """
    with contextlib.closing(ctx.connect()) as conn, runs.working(conn, run.run_id):
        runs.begin(conn, run, started_by, ctx.now())
        conn.commit()


def freeze(ctx: RetrainContext, run_id: str) -> dict[str, Any]:
    """Freeze the labels as they stand, and draw what is held out: {"digest", "rows"}."""
    with _at_work(ctx, run_id) as (conn, run):
        if run.digest is None:
            labels = read_yaml(ctx.settings.config_dir / "labels.yaml", LabelsFile)
            with conn.transaction():
                moment = ctx.now()
                frozen = freeze_labels(conn, now=moment, reliability=labels.reliability)
                runs.note(conn, run_id, digest=frozen.digest, frozen_at=moment)
            ctx.progress(f"{frozen.table.num_rows} texts frozen as {frozen.digest[:12]}")
            run = runs.get(conn, run_id)
        if run.split is None:
            # Drawing takes a while: the head of the ledger is free again by now.
            _, split = _prepared(ctx, conn, run)
            runs.note(conn, run_id, split=split.counts)
            conn.commit()
        version = execute(conn, "sentiment/retraining/data_version", {"digest": run.digest}).fetchone()
        return {"digest": run.digest, "rows": version["rows"] if version else 0}


def judge_data(ctx: RetrainContext, run: RunRef) -> DataVerdict:
    """Whether there are labels enough for a test to mean something, and whether the data are sound.

    With too few labels the run ends as `not_enough`, with a gate that refuses as `refused`.
    """
    from tidewatch.sentiment.retraining import data_gate, enough

    with _at_work(ctx, run.run_id) as (conn, current):
        told = current.gate(DATA_GATE)
        if current.state in DECIDED or (told and told["passed"]):
            return _data_verdict(current)
        frozen, split = _prepared(ctx, conn, current)
        conn.commit()
        with conn.transaction():
            missing = enough.missing(split, ctx.plan, champion=current.champion is not None)
            judgement = data_gate.judge(
                conn, frozen, split, run=run, plan=ctx.plan, settings=ctx.settings, now=ctx.now()
            )
            told = {**_told(judgement), "passed": judgement.passed and missing is None}
            runs.note(conn, run.run_id, gates={DATA_GATE: told})
            if missing is not None:
                found = "not enough labels for the test to mean anything"
                runs.stop(conn, run.run_id, "not_enough", found, now=ctx.now(), missing=missing)
            elif not judgement.passed:
                _refuse(ctx, conn, run.run_id, DATA_GATE, judgement)
        return _data_verdict(runs.get(conn, run.run_id))


def train(ctx: RetrainContext, run: RunRef) -> dict[str, Any]:
    """Search for parameters, train the challenger, register it: {"version", "model_sha256"}.

    Raises TooEarly for data that was not judged or not passed, ConfigError where nothing can be learned.
    """
    from tidewatch.sentiment import registry
    from tidewatch.sentiment.retraining.search import learn, search

    with _at_work(ctx, run.run_id) as (conn, current):
        if current.challenger is None:
            _require_passed(current, DATA_GATE)
            frozen, split = _prepared(ctx, conn, current)
            conn.commit()
            table, groups = frozen.table.take(split.train), split.groups[split.train]
            found = search(table, groups, ctx.plan.search, progress=ctx.progress)
            model = learn(table, found.chosen, ctx.plan.search, dataset_sha256=frozen.digest)
            with conn.transaction():
                version = registry.register(
                    conn,
                    model.to_bytes(),
                    dataset_sha256=frozen.digest,
                    parameters={**model.header["parameters"], **vars(found.chosen)},
                    metrics=model.header["metrics"],
                    compared_with=current.champion,
                    run={"dag_id": run.dag_id, "run_id": run.run_id},
                    by=current.started_by or run.dag_id,
                    now=ctx.now(),
                )
                runs.note(conn, run.run_id, challenger=version.version, search=found.as_dict())
            current = runs.get(conn, run.run_id)
        assert current.challenger is not None  # noqa: S101 - just written
        version = registry.get(conn, current.challenger)
        return {"version": version.version, "model_sha256": version.model_sha256}


def measure(ctx: RetrainContext, run: RunRef) -> dict[str, Any]:
    """Champion and challenger on every set of held-out posts: {"sets", "n", "difference", "p_value"}, the
    numbers those of the frozen set; the last two None for a first model. Raises TooEarly without a
    challenger."""
    from tidewatch.sentiment.retraining.compare import compare

    with _at_work(ctx, run.run_id) as (conn, current):
        if current.measured is None:
            _require_challenger(current)
            frozen, split = _prepared(ctx, conn, current)
            conn.commit()
            compare(
                conn, current, frozen, split, ctx.plan, directory=ctx.directory, timer=ctx.timer,
                progress=ctx.progress,
            )  # fmt: skip
            conn.commit()
        told = summary(conn, run.run_id)
    frozen_set: Mapping[str, Any] = next((s for s in told["sets"] if s["kind"] == "frozen"), {})
    return {
        "sets": [s["set"] for s in told["sets"]],
        "n": frozen_set.get("n"),
        "difference": frozen_set.get("difference"),
        "p_value": frozen_set.get("p_value"),
    }


def judge_model(ctx: RetrainContext, run: RunRef) -> ModelVerdict:
    """Whether a person is asked. With a gate that refuses the run ends as `refused`, else it is `awaiting`.
    Raises TooEarly for a challenger that was not measured."""
    with _at_work(ctx, run.run_id) as (conn, current):
        if current.state not in ("awaiting", *DECIDED):
            if current.measured is None:
                raise _not_yet(run.run_id, "a challenger that was measured", "measure")
            with conn.transaction():
                judgement = model_gate.judge(conn, current, run, ctx.plan, ctx.settings, ctx.now())
                runs.note(conn, run.run_id, gates={model_gate.GATE: _told(judgement)})
                if judgement.passed:
                    runs.await_answer(conn, run.run_id, days=ctx.plan.approval.days, now=ctx.now())
                else:
                    _refuse(ctx, conn, run.run_id, model_gate.GATE, judgement)
            current = runs.get(conn, run.run_id)
    told = current.gate(model_gate.GATE) or {}
    return ModelVerdict(
        run.run_id,
        "refused" if current.state == "refused" else "awaiting",
        tuple(told.get("critical", ())),
        tuple(told.get("warnings", ())),
        told.get("docs"),
    )


def summary(conn: Connection, run_id: str) -> dict[str, Any]:
    """Names and numbers for the question to the person; nothing of a text. Raises NotFound."""
    from tidewatch.sentiment.retraining.compare import summary as summed

    return summed(conn, runs.get(conn, run_id))


@contextlib.contextmanager
def _at_work(ctx: RetrainContext, run_id: str) -> Iterator[tuple[Connection, Retraining]]:
    """A session that holds the run's lock, and the run, open again if it was stopped."""
    with contextlib.closing(ctx.connect()) as conn, runs.working(conn, run_id):
        run = runs.reopen(conn, runs.get(conn, run_id))
        conn.commit()
        try:
            yield conn, run
        except TidewatchError as error:
            conn.rollback()
            # What passes by itself, and what another step or process must do first, is no end.
            if not error.retryable and not isinstance(error, Busy | TooEarly):
                runs.stop(conn, run_id, "failed", str(error), now=ctx.now())
                conn.commit()
            raise


def _prepared(ctx: RetrainContext, conn: Connection, run: Retraining) -> "tuple[TrainingSet, Split]":
    """The labels as they were frozen, and their split. Raises TooEarly before `freeze`, IntegrityError when
    the labels are not those that were frozen: a post was deleted since."""
    from tidewatch.sentiment.retraining.splitting import split

    if run.digest is None or run.frozen_at is None:
        raise _not_yet(run.run_id, "labels that were frozen", "freeze")
    version = execute(conn, "sentiment/retraining/data_version", {"digest": run.digest}).fetchone()
    assert version is not None  # noqa: S101 - a foreign key
    reliability = Reliability.model_validate(version["summary"]["reliability"])
    # As of that moment, whatever a clock that went back says it is now.
    frozen = training_set(conn, now=run.frozen_at, reliability=reliability, up_to=version["up_to"])
    if frozen.digest != run.digest:
        raise IntegrityError(
            f"The labels of the retraining {run.run_id} are not those that were frozen",
            expected=f"{version['rows']} texts with the digest {run.digest[:16]}…",
            found=f"{frozen.table.num_rows} texts with another digest: a post was deleted since",
            do="start a new run: what was deleted is not in it",
        )
    with conn.transaction():
        return frozen, split(conn, frozen, settings=ctx.plan, run_id=run.run_id, now=run.frozen_at)


def _refuse(ctx: RetrainContext, conn: Connection, run_id: str, gate: str, judgement: "Judgement") -> None:
    told = {"gate": gate, **_told(judgement)}
    found = f"{gate}: " + "; ".join(f"{f.name}: {f.observed}" for f in judgement.critical)
    runs.stop(conn, run_id, "refused", found, now=ctx.now(), told=told)


def _told(judgement: "Judgement") -> dict[str, Any]:
    """Without values of rows: sentences of expectations and counts."""
    return {
        "passed": judgement.passed,
        "critical": [str(f) for f in judgement.critical],
        "warnings": [str(f) for f in judgement.warnings],
        "docs": judgement.docs,
    }


def _data_verdict(run: Retraining) -> DataVerdict:
    told = run.gate(DATA_GATE) or {}
    state: Literal["passed", "not_enough", "refused"] = "passed" if told.get("passed") else "refused"
    if run.state == "not_enough":
        state = "not_enough"
    critical, warnings = tuple(told.get("critical", ())), tuple(told.get("warnings", ()))
    return DataVerdict(run.run_id, state, run.missing, critical, warnings, told.get("docs"))


def _require_passed(run: Retraining, gate: str) -> None:
    told = run.gate(gate)
    if not (told and told["passed"]):
        raise _not_yet(run.run_id, f"data that the gate {gate} has passed", "judge the data")


def _require_challenger(run: Retraining) -> None:
    if run.challenger is None:
        raise _not_yet(run.run_id, "a challenger", "train")


def _not_yet(run_id: str, expected: str, step: str) -> TooEarly:
    return TooEarly(
        f"The retraining {run_id} is not so far",
        expected=expected,
        found="none in this run",
        do=f"run the step before it first: {step}",
    )
