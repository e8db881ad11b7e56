"""One measured run of the sentiment model in a process of its own, for its memory: train, or score."""

import json
import resource
import sys
import time
from pathlib import Path

import pyarrow as pa

from tidewatch.sentiment.model import Model
from tidewatch.sentiment.train import train


def main(what: str, model: str, file: str, classes: str) -> None:
    with Path(file).open(encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    texts = pa.array([text for text, _ in pairs])
    labels = [label for _, label in pairs]
    del pairs
    if what == "train":
        began = time.perf_counter()
        train(texts, labels, seed=1, classes=classes.split(",")).save(Path(model))
        rates = [time.perf_counter() - began]
    else:
        loaded = Model.load(Path(model))
        loaded.score(texts.slice(0, 10))  # compiled code is read from the disk
        rates = []
        for _ in range(7):
            began = time.perf_counter()
            loaded.score(texts)
            rates.append(len(texts) / (time.perf_counter() - began))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"figures": rates, "peak_bytes": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
