"""What each Dag file given costs to parse, as JSON: seconds of CPU and the packages it imports.

Each is parsed in a process of its own, forked from one that has loaded Airflow and parsed a Dag file without
Dags: the seconds that Airflow itself takes, and their noise, are not part of it.
"""

import json
import multiprocessing
import runpy
import sys
import time
from pathlib import Path
from typing import Any

_TRIES = 3
"""The best counts: a busy machine makes a process wait, and some of that is booked as its work."""


def main() -> None:
    from airflow.sdk import dag, task, task_group  # noqa: F401
    from pendulum import datetime  # noqa: F401

    context = multiprocessing.get_context("fork")
    found: dict[str, dict[str, Any]] = {}
    for path in sys.argv[1:]:
        costs = []
        for _ in range(_TRIES):
            here, there = context.Pipe(duplex=False)
            child = context.Process(target=_parse, args=(path, there))
            child.start()
            there.close()
            seconds, packages = here.recv()
            child.join()
            costs.append(seconds)
        found[Path(path).name] = {"seconds": min(costs), "packages": packages}
    print(json.dumps(found))


def _parse(path: str, answer: Any) -> None:
    before, began = set(sys.modules), time.process_time()
    runpy.run_path(path)
    seconds = time.process_time() - began
    answer.send((seconds, sorted({m.split(".")[0] for m in set(sys.modules) - before})))


if __name__ == "__main__":
    main()
