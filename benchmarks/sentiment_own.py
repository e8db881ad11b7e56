"""One measured run of the sentiment model in a process of its own, for its memory: train, or score."""

import json
import sys
import time
from pathlib import Path

from pyarrow import ipc

from tidewatch.sentiment.model import Model
from tidewatch.sentiment.train import train


def main(what: str, model: str, file: str, classes: str) -> None:
    with ipc.open_file(file) as stored:
        table = stored.read_all()
    texts, labels = table["text"], table["label"].to_numpy()
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
    # Not ru_maxrss: that also has what the parent held when it forked.
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"figures": rates, "peak_bytes": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
