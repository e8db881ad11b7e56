"""The results of benchmarks/sentiment.py as tables."""

import statistics
from collections.abc import Iterator

from measure import Json
from tables import MIB, Table

TRAINED = ("LinearSVC", "LogisticRegression", "fastText")
PEERS = (*TRAINED, "SnowNLP")


def everything(results: Json) -> Iterator[Table]:
    """All tables of a run."""
    for across, title in (
        (False, "Accuracy within a set, %"),
        (True, "Accuracy from one domain to another, %"),
    ):
        tasks = [task for task in results["tasks"] if task["across"] is across]
        if tasks:
            yield _accuracy(title, tasks)
    yield _calibration([task for task in results["tasks"] if not task["across"]])
    if "speed" in results:
        yield _speed(results["speed"])


def _accuracy(title: str, tasks: list[Json]) -> Table:
    table = Table(
        title, "texts", "learned from", "tried on", "Tidewatch", "95 %", *PEERS, "ahead of the best"
    )
    for task in tasks:
        best = max(peer["accuracy"] for peer in task["peers"].values())
        peers = [f"{task['peers'][name]['accuracy']:.2f}" if name in task["peers"] else "" for name in PEERS]
        interval = f"{task['low']:.1f} to {task['high']:.1f}"
        table.add(
            task["name"], f"{task['train']:,}", f"{task['n']:,}", f"{task['ours']:.2f}", interval, *peers,
            f"{task['ours'] - best:+.2f}",
        )  # fmt: skip
    means = [f"{_mean(tasks, name):.2f}" for name in TRAINED]
    best = max(_mean(tasks, name) for name in TRAINED)
    ours = statistics.mean(task["ours"] for task in tasks)
    table.add("mean", "", "", f"{ours:.2f}", "", *means, "", f"{ours - best:+.2f}")
    return table


def _mean(tasks: list[Json], name: str) -> float:
    return statistics.mean(task["peers"][name]["accuracy"] for task in tasks)


def _calibration(tasks: list[Json]) -> Table:
    table = Table(
        "Calibration and emoticons", "texts", "ECE", "ECE of LogisticRegression", "macro-F1", "accuracy, %",
        "emoticons removed, %",
    )  # fmt: skip
    for task in tasks:
        table.add(
            task["name"], f"{task['ece']:.4f}", f"{task['peers']['LogisticRegression']['ece']:.4f}",
            f"{task['macro_f1']:.3f}", f"{task['ours']:.2f}", f"{task['without_emoticons']:.2f}",
        )  # fmt: skip
    return table


def _speed(speed: Json) -> Table:
    table = Table("Speed and size", "what", "limit", "found")
    rate = statistics.median(speed["rates"])
    table.add(
        f"posts of {speed['characters']} characters a second, one core, Arrow in and out", "300,000 or more",
        f"{rate:,.0f} ({min(speed['rates']):,.0f} to {max(speed['rates']):,.0f})",
    )  # fmt: skip
    ratio = rate / speed["pipeline_rate"]
    pipeline = f"{speed['pipeline_rate']:,.0f} posts/s"
    table.add("times scikit-learn's pipeline", "100 or more", f"{ratio:,.0f} ({pipeline})")
    table.add("memory of the process that scores, MiB", "500", f"{speed['scoring_peak_bytes'] / MIB:,.0f}")
    table.add("model file, MB", "20", f"{speed['model_bytes'] / 1e6:.1f}")
    table.add(f"training on {speed['labels']:,} labels, s", "180", f"{speed['training_seconds']:.0f}")
    table.add("memory of training, MiB", "3,072", f"{speed['training_peak_bytes'] / MIB:,.0f}")
    return table
