"""A warehouse with labels to retrain from, and short forms of the steps. All texts are made up."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tidewatch.core.database import Connection, connect
from tidewatch.core.settings import Settings
from tidewatch.local.postgres import LocalPostgres
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.labels.posts import Post, Source
from tidewatch.sentiment.labels.store import Given, append_labels
from tidewatch.sentiment.retraining import run as steps
from tidewatch.sentiment.retraining.decide import Decision, decide
from tidewatch.sentiment.retraining.run import RetrainContext
from tidewatch.sentiment.retraining.settings import RetrainingFile
from tidewatch.vault.manifest import RunRef

NOW = datetime(2026, 11, 3, 1, 0, tzinfo=UTC)
PEOPLE, SEEDS = 420, 120
_WORDS = {
    "negative": ["太差", "退款", "坏了", "生气"],
    "neutral": ["发货", "几点", "地址", "型号"],
    "positive": ["喜欢", "好吃", "推荐", "很快"],
}
PLAN = RetrainingFile.model_validate(
    {
        "enough": {
            "train_per_class": 20, "platform": 10, "expected_recall": 0.9, "discordance": 0.2, "power": 0.5,
        },
        "search": {
            "trainings": 3, "folds": 2, "cost": [1.0, 0.3], "foreign": [1.0, 0.0], "balance": [0.0, 1.0],
            "bits": 12,
        },
        "limits": {
            "accuracy": 0.6, "recall": 0.4, "precision": 0.4, "margin": 0.15, "calibration": 0.2,
            "posts_per_second": 1, "speed_posts": 50, "speed_repeats": 3,
        },
        "crises": [
            {"name": "recall", "begins": "2026-10-01T00:00:00+08:00", "ends": "2026-10-09T00:00:00+08:00"}
        ],
    }
)  # fmt: skip
"""Small floors, for so few posts."""


def texts(count: int, seed: int, wrong: float = 0.0) -> list[tuple[str, str]]:
    """(text, label): two words of the class among characters drawn at random, so that no two are alike.
    `wrong`: the share whose label is another one."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        label = str(random.choice(LABELS))
        filler = "".join(map(chr, random.integers(0x4E00, 0x4F00, 12)))
        words = random.choice(_WORDS[label], 2)
        said = str(random.choice(LABELS)) if random.random() < wrong else label
        found.append((f"{filler[:4]}{words[0]}{filler[4:9]}{words[1]}{filler[9:]}", said))
    return found


def give(
    conn: Connection,
    labelled: list[tuple[str, str]],
    *,
    source: Source = "import",
    annotator: str = "li.wei",
    now: datetime = NOW,
    first: int = 0,
) -> None:
    """Labels of posts of two platforms, one post an hour, the newest first."""
    origin = f"file:{secrets.token_hex(8)}" if source != "seed" else "package:corpus==1"
    rows = [
        Given(
            place,
            Post(text, None, None)
            if source == "seed"
            else Post(
                text, ("weibo", "shop")[place % 2], f"{first + place}", now - timedelta(hours=3 * place)
            ),
            label,  # type: ignore[arg-type]
            annotator,
        )
        for place, (text, label) in enumerate(labelled)
    ]
    append_labels(conn, rows, source=source, origin=origin, now=now)
    conn.commit()


@dataclass
class Runner:
    """`runner.retrain("r1")` makes all steps up to the question; `runner.say("r1", "approved")` answers."""

    dsn: str
    home: Path
    plan: RetrainingFile = PLAN
    now: datetime = NOW
    ticks: int = 0
    told: list[str] = field(default_factory=list)

    def connect(self) -> Connection:
        return connect(self.dsn, application_name="tests")

    @property
    def context(self) -> RetrainContext:
        settings = Settings(home=self.home)
        return RetrainContext(
            settings,
            self.plan,
            self.connect,
            lambda: self.now,
            self.told.append,
            self.home / "models",
            self.tick,
        )

    def tick(self) -> float:
        """A clock that goes a second a look: speed in tests rests on nothing else."""
        self.ticks += 1
        return float(self.ticks)

    def later(self, days: int) -> None:
        self.now += timedelta(days=days)

    def change(self, part: str, **values: Any) -> None:
        """Other values in one part of the plan."""
        self.plan = replace_part(self.plan, part, **values)

    def begin(self, run_id: str, started_by: str | None = None) -> RunRef:
        ref = RunRef(dag_id="retrain_model", run_id=run_id)
        steps.begin(self.context, ref, started_by)
        return ref

    def up_to(self, run_id: str, last: Callable[..., Any]) -> Any:
        """All steps up to `last`, whose result it is."""
        ref = self.begin(run_id)
        for step in (steps.freeze, steps.judge_data, steps.train, steps.measure, steps.judge_model):
            found = step(self.context, run_id if step is steps.freeze else ref)  # type: ignore[operator]
            if step is last:
                return found
        raise AssertionError("no such step")

    def retrain(self, run_id: str) -> Any:
        return self.up_to(run_id, steps.judge_model)

    def say(self, run_id: str, decision: Any, by: str | None = "wang.fang", note: str = "seen") -> Decision:
        with self.connect() as conn:
            return decide(conn, run_id, decision=decision, by=by, note=note, via="command_line", now=self.now)

    def rows(self, query: str) -> list[dict[str, Any]]:
        with self.connect() as conn:
            return conn.execute(query).fetchall()  # type: ignore[arg-type]


def replace_part(plan: RetrainingFile, part: str, **values: Any) -> RetrainingFile:
    return plan.model_copy(update={part: getattr(plan, part).model_copy(update=values)})


@pytest.fixture(scope="session")
def labelled(pg_server: LocalPostgres, _migrated: str) -> Iterator[str]:
    """The name of a database with labels, to copy."""
    name = f"t_{secrets.token_hex(6)}"
    _copy(pg_server, _migrated, name)
    with connect(pg_server.dsn(name), application_name="tests") as conn:
        give(conn, texts(SEEDS, seed=2, wrong=0.3), source="seed", annotator="seed:corpus")
        give(conn, texts(PEOPLE, seed=1, wrong=0.05))
    yield name
    pg_server.drop_database(name)


@pytest.fixture
def runner(pg_server: LocalPostgres, labelled: str, tmp_path: Path) -> Iterator[Runner]:
    name = f"t_{secrets.token_hex(6)}"
    _copy(pg_server, labelled, name)
    yield Runner(pg_server.dsn(name), tmp_path / "home")
    pg_server.drop_database(name)


@pytest.fixture(scope="session")
def asked(
    pg_server: LocalPostgres, labelled: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runner]:
    """A first challenger that waits for an answer, made once; `answering` gives copies of it."""
    name = f"t_{secrets.token_hex(6)}"
    _copy(pg_server, labelled, name)
    runner = Runner(pg_server.dsn(name), tmp_path_factory.mktemp("asked"))
    runner.retrain("first").raise_if_failed()
    yield runner
    pg_server.drop_database(name)


@pytest.fixture
def answering(pg_server: LocalPostgres, asked: Runner, tmp_path: Path) -> Iterator[Runner]:
    name = f"t_{secrets.token_hex(6)}"
    _copy(pg_server, str(conninfo_to_dict(asked.dsn)["dbname"]), name)
    yield replace(asked, dsn=pg_server.dsn(name), home=tmp_path / "home", told=[])
    pg_server.drop_database(name)


def _copy(server: LocalPostgres, template: str, name: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
