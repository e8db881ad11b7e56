"""Measure the sentiment model beside what one would use instead, on the same texts, in the same run.

    .venv/bin/python benchmarks/sentiment.py --data DIR [--json benchmarks/results/sentiment.json]
    .venv/bin/python benchmarks/report.py                      # docs/benchmarks.md from the kept results

DIR holds the labelled sets (CSV, gzip; columns text, label, split); they are only measured with. The peers
(benchmarks/sentiment_peers.txt) are installed into an environment of their own, `--peers`, when it is not
there. Of a peer with several settings the best on the test texts counts, which flatters it.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import numpy as np
import pyarrow as pa
from measure import Json, run
from pyarrow import ipc
from sentiment_sets import Pairs, Sets, Task
from sentiment_tables import everything

from backup import machine
from tidewatch.sentiment.evaluate import evaluate, reliability
from tidewatch.sentiment.train import train

HERE = Path(__file__).parent
POSTS, LENGTH, LABELS = 200_000, 60, 200_000
SLOW = "SnowNLP"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".tidewatch-cache" / "sentiment-peers")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", help="sets whose name has this word")
    given = parser.parse_args()
    sets = Sets(given.data)
    results: Json = {"machine": machine(), "tasks": []}
    with tempfile.TemporaryDirectory() as place, _peers(given.peers) as peers:
        for task in itertools.chain(sets.within(), sets.across()):
            if given.only is None or any(given.only in name for name in task.tests):
                results["tasks"] += _contest(task, peers, Path(place))
                _save(results, given.json)
        if given.only is None:
            results["speed"] = _speed(sets, peers, Path(place))
    _save(results, given.json)
    for table in everything(results):
        print(table.markdown())
    return 0


def _save(results: Json, file: Path | None) -> None:
    if file is not None:
        file.write_text(json.dumps(results, indent=1) + "\n")


class _Peers:
    """The other process: one task a line, one answer a line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, task: Json) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def _peers(place: Path) -> Iterator[_Peers]:
    python = place / "bin" / "python"
    if not python.exists():
        venv.EnvBuilder(with_pip=False).create(place)
    subprocess.run(
        [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--python", python, "-r",
         HERE / "sentiment_peers.txt"], check=True,
    )  # fmt: skip
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [python, HERE / "sentiment_peers.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=alone,
    ) as process:  # fmt: skip
        yield _Peers(process)
        assert process.stdin is not None
        process.stdin.close()


def _contest(task: Task, peers: _Peers, place: Path) -> Iterator[Json]:
    """What ours and each peer gave: accuracy in percent, and how far the probabilities are off."""
    labels = [label for _, label in task.train]
    model = train([text for text, _ in task.train], labels, seed=1, classes=task.classes)
    names = ["LinearSVC", "LogisticRegression", "fastText"] + ([SLOW] if len(task.classes) == 2 else [])
    files = {name: str(_write(place / name, test)) for name, test in task.tests.items()}
    answers = peers.ask({"train": str(_write(place / "train", task.train)), "tests": files, "peers": names})
    for name, test in task.tests.items():
        truth = np.array([label for _, label in test])
        found = evaluate(model, [text for text, _ in test], truth)
        assert found.emoticons_removed is not None
        result: Json = {
            "name": name,
            "across": task.across,
            "train": len(task.train),
            "n": len(test),
            "ours": 100 * found.accuracy.value,
            "low": 100 * found.accuracy.low,
            "high": 100 * found.accuracy.high,
            "macro_f1": found.macro_f1,
            "ece": found.ece,
            "without_emoticons": 100 * found.emoticons_removed.accuracy.value,
            "peers": {},
        }
        for peer, settings in answers.items():
            result["peers"][peer] = max(
                (_right(one["setting"], one["tests"][name], truth) for one in settings), key=_accuracy
            )
        yield result


def _right(setting: str, given: Json, truth: Any) -> Json:
    there = truth[given["places"]] if "places" in given else truth
    right = np.array(given["labels"]) == there
    found = {"setting": setting, "accuracy": 100 * float(right.mean()), "n": len(there)}
    if "chances" in given:
        found["ece"] = reliability(np.array(given["chances"]), right)[1]
    return found


def _accuracy(found: Json) -> float:
    return float(found["accuracy"])


def _speed(sets: Sets, peers: _Peers, place: Path) -> Json:
    """Posts a second on one core, and training, each in a process of its own."""
    posts: Pairs = [(text, 0) for text in sets.posts(POSTS, LENGTH)]
    pairs = sets.everything(LABELS)
    post_file, pair_file = _arrow(place / "posts.arrow", posts), _arrow(place / "pairs.arrow", pairs)
    model = place / "m.model"
    own = [sys.executable, HERE / "sentiment_own.py"]
    classes = "negative,neutral,positive"
    trained = run([*own, "train", model, pair_file, classes])
    scored = run(["taskset", "-c", "0", *own, "score", model, post_file, classes])
    task = next(task for task in sets.within() if "ewect_usual" in task.tests)
    few = _write(place / "few.jsonl", posts[:5000])
    rate = peers.ask({"speed": str(few), "train": str(_write(place / "train", task.train))})
    return {
        "posts": len(posts), "characters": LENGTH, "rates": json.loads(scored.output)["figures"],
        "scoring_peak_bytes": json.loads(scored.output)["peak_bytes"],
        "labels": len(pairs), "training_seconds": json.loads(trained.output)["figures"][0],
        "training_peak_bytes": json.loads(trained.output)["peak_bytes"],
        "others_cores": trained.others_cores, "model_bytes": model.stat().st_size, "pipeline_rate": rate,
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }  # fmt: skip


def _arrow(file: Path, pairs: Pairs) -> Path:
    table = pa.table({"text": [text for text, _ in pairs], "label": [label for _, label in pairs]})
    with ipc.new_file(file, table.schema) as sink:
        sink.write_table(table)
    return file


def _write(file: Path, pairs: Pairs) -> Path:
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
    return file


if __name__ == "__main__":
    sys.exit(main())
