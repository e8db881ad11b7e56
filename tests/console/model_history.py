"""A sentiment model with a past: versions, retrainings of every outcome, labels, and posts that wait for one.

All texts are made up. Written by SQL: nothing is trained, only the figures are computed as they are for real.
"""

from datetime import datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.evaluate import Evaluation, figures, paired
from tidewatch.sentiment.labels.posts import Post

FIRST, TOO_FEW, SECOND, REFUSED, AWAITING = (f"monthly-{n}" for n in range(5))
SETS = {"frozen": 1400, "recent": 260, "platform:weibo": 900, "platform:douyin": 45, "crisis:recall": 18}
_SAID = ("太差了，再也不买", "今天发货", "很喜欢[鼓掌]", "客服不理人", "请问几点开门", "物流真快")
_ABOUT = (
    "这款杯子",
    "新店",
    "昨天的直播",
    "包装",
    "会员日",
    "小程序",
    "门店",
    "赠品",
    "屏幕",
    "充电器",
    "活动",
    "快递",
)


def write(conn: Connection, now: datetime) -> None:
    """Everything, in the caller's transaction."""
    posts = [
        Post(f"{about}{said}", "weibo", str(n)) for n, (about, said) in enumerate(product(_ABOUT, _SAID))
    ]
    _posts(conn, posts, now)
    data = sha256_hex(b"labels")
    _insert(
        conn, "sentiment.data_versions", digest=data, up_to=60, rows=6100, summary=Jsonb({}), frozen_at=now
    )
    random = np.random.default_rng(1)
    for version, age, was in ((1, 70, None), (2, 40, 1), (3, 1, 2)):
        _insert(
            conn,
            "sentiment.models",
            version=version,
            model_sha256=sha256_hex(b"model %d" % version),
            content=b"x" * 400,
            dataset_sha256=data,
            parameters=Jsonb({}),
            metrics=Jsonb({"held_out": _evaluation(random, 4000, 0.86)[0].as_dict()}),
            compared_with=was,
            run=Jsonb({"dag_id": "retrain_model", "run_id": AWAITING}),
            registered_at=now - timedelta(days=age),
            registered_by="retrain_model",
            ledger_seq=10 + version,
        )
    change = now - timedelta(days=38)
    for version, since, until, why in (
        (1, now - timedelta(days=70), change, "the first one"),
        (2, change, None, "better on recent posts"),
    ):
        _insert(
            conn,
            "sentiment.champions",
            version=version,
            since=since,
            until=until,
            by="wang.min",
            why=why,
            ledger_seq=20 + version,
        )
    _runs(conn, now, data)
    for run_id, age in ((SECOND, 40), (AWAITING, 1)):
        _measured(conn, run_id, random, posts)
        _gates(conn, run_id, now - timedelta(days=age), passed=True)
    _gates(conn, REFUSED, now - timedelta(days=10), passed=False)


def _posts(conn: Connection, posts: list[Post], now: datetime) -> None:
    for n, post in enumerate(posts):
        _insert(conn, "sentiment.texts", text_sha256=post.text_sha256, text=post.text)
        row = conn.execute(
            "insert into sentiment.posts (post_key, platform, native_id, text_sha256, posted_at, added_at) "
            "values (%s, %s, %s, %s, %s, %s) returning post_id",
            (post.key, post.platform, post.native_id, post.text_sha256, now - timedelta(hours=n), now),
        ).fetchone()
        assert row is not None
        word = LABELS[(0, 1, 2, 0, 1, 2)[n % 6]]
        given = [("li.wei", word, None, False)] if n < 50 else []
        if n < 24:
            given.append(("wang.min", LABELS[1] if n % 8 == 0 else word, "second", True))
        for annotator, label, asked_for, blind in given:
            _insert(
                conn,
                "sentiment.labels",
                post_id=row["post_id"],
                label=label,
                annotator=annotator,
                source="console",
                origin="page",
                asked_for=asked_for,
                blind=blind,
                labelled_at=now,
                recorded_at=now,
            )
        if n >= 50:
            _insert(
                conn,
                "sentiment.scores",
                post_id=row["post_id"],
                model_sha256=sha256_hex(b"model 2"),
                p_negative=0.4,
                p_neutral=0.35,
                p_positive=0.25,
                scored_at=now,
            )


def _runs(conn: Connection, now: datetime, data: str) -> None:
    lack = {"have": 61, "needed": 196, "missing": 135, "to_label": 675}
    missing = {"test": {"neutral": lack}, "paired": lack}
    told = {"gate": "model", "said": ["neutral: recall 0.79, lower bound 0.74 is below 0.85"]}
    split = {"train": {"n": 4700}, "held_out": {"n": 1400}, "left_out": {"like_held_out": 12}}
    rows: tuple[dict[str, Any], ...] = (
        {"run_id": FIRST, "state": "promoted", "challenger": 1, "decided_by": "wang.min", "via": "airflow"},
        {"run_id": TOO_FEW, "state": "not_enough", "champion": 1, "missing": Jsonb(missing)},
        {
            "run_id": SECOND,
            "state": "promoted",
            "champion": 1,
            "challenger": 2,
            "decided_by": "wang.min",
            "note": "better on recent posts",
            "via": "airflow",
            "ledger_seq": 22,
        },
        {"run_id": REFUSED, "state": "refused", "champion": 2, "told": Jsonb(told), "started_by": "li.wei"},
        {"run_id": AWAITING, "state": "awaiting", "champion": 2, "challenger": 3},
    )
    for row, age in zip(rows, (70, 55, 40, 10, 1), strict=True):
        begun = now - timedelta(days=age)
        if "challenger" in row:
            row |= {"measured": Jsonb({"posts_per_second": 412345.6}), "split": Jsonb(split)}
        ended = None if row["state"] == "awaiting" else begun + timedelta(hours=5)
        _insert(
            conn,
            "sentiment.retrainings",
            dag_id="retrain_model",
            started_at=begun,
            ended_at=ended,
            digest=data,
            **row,
        )


def _measured(conn: Connection, run_id: str, random: np.random.Generator, posts: list[Post]) -> None:
    for name, n in SETS.items():
        kind = name.partition(":")[0]
        truth = random.choice(3, n, p=(0.4, 0.2, 0.4))
        both = {}
        for role, right in (("champion", 0.875), ("challenger", 0.9)):
            made, both[role] = _evaluation(random, n, right, truth)
            _insert(
                conn,
                "sentiment.evaluations",
                run_id=run_id,
                role=role,
                set_name=name,
                kind=kind,
                n=n,
                figures=Jsonb(made.as_dict()),
            )
        test = paired(both["champion"], both["challenger"], truth)
        _insert(
            conn,
            "sentiment.comparisons",
            run_id=run_id,
            set_name=name,
            n=n,
            only_champion=test.only_first,
            only_challenger=test.only_second,
            difference=test.difference,
            low=test.low,
            high=test.high,
            p_value=test.p_value,
        )
    for place, post in enumerate(posts[:20], 1):
        right, wrong = place % 3, (place + 1) % 3
        champion, challenger = (wrong, right) if place % 4 else (right, wrong)
        _insert(
            conn,
            "sentiment.differences",
            run_id=run_id,
            place=place,
            text_sha256=post.text_sha256,
            truth=LABELS[right],
            champion_says=LABELS[champion],
            challenger_says=LABELS[challenger],
            champion_p=[0.54 if n == champion else 0.23 for n in range(3)],
            challenger_p=[0.78 if n == challenger else 0.11 for n in range(3)],
        )
    for feature, statistic, drifted in (
        ("length", 0.031, True),
        ("platform", 0.011, False),
        ("label", 0.004, False),
    ):
        _insert(
            conn,
            "sentiment.drifts",
            run_id=run_id,
            feature=feature,
            statistic=statistic,
            critical=0.0192,
            n_before=5200,
            n_recent=900,
            drifted=drifted,
        )


def _evaluation(
    random: np.random.Generator, n: int, right: float, truth: np.ndarray[Any, Any] | None = None
) -> tuple[Evaluation, np.ndarray[Any, Any]]:
    """Figures of labels that are right so often, said with probabilities that fit; and the labels."""
    truth = random.choice(3, n, p=(0.4, 0.2, 0.4)) if truth is None else truth
    sure = np.clip(random.beta(8 * right, 8 * (1 - right), n), 0.36, 0.999)
    given = np.where(random.random(n) < sure, truth, (truth + 1 + random.integers(0, 2, n)) % 3)
    chances = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
    chances[np.arange(n), given] = sure
    whole = figures(given, chances, truth)
    return Evaluation(**{**vars(whole), "emoticons_removed": figures(given, chances, truth)}), given


def _gates(conn: Connection, run_id: str, at: datetime, *, passed: bool) -> None:
    for gate in ("training_data", "model"):
        ok = passed or gate == "training_data"
        ident = {"gate": gate, "run_id": run_id, "subject": run_id}
        _insert(
            conn,
            "quality.judgements",
            **ident,
            gate_sha256=sha256_hex(gate.encode()),
            dag_id="retrain_model",
            judged_at=at,
            passed=ok,
            staged=1,
            published=int(ok),
            quarantined=int(not ok),
            params=Jsonb({}),
        )
        _insert(
            conn,
            "quality.results",
            **ident,
            batch="classes",
            position=1,
            expectation="expect_column_values_to_be_between",
            columns=["recall_low"],
            severity="critical",
            success=ok,
            evaluated=True,
            expected="greater than or equal to 0.85",
            observed="0.74",
            unexpected_count=0,
            element_count=3,
            rows=[],
            note_zh="某类别召回率未证实达到下限",
            note_en="the recall of a class is not shown to reach the floor",
        )


def _insert(conn: Connection, table: str, **values: Any) -> None:
    columns, places = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    conn.execute(f"insert into {table} ({columns}) values ({places})".encode(), values)
