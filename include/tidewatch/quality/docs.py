"""Data docs: a static site of judgements that anyone can open without a server, an account or a network.

The pages show what Great Expectations found in its own wording, but are not its stock site: that one loads
a dozen scripts and styles from other people's servers, puts text into HTML unescaped in places, and rebuilds
its index from all validations it has ever seen. Here every value is escaped, no script exists and the page's
Content-Security-Policy would run none, and the cost of a run does not grow: the newest `keep` judgements
have pages, the database has all.

`index.json` lists the pages there are. It is written, atomically and under a lock, after the page: a page
that it does not name is a leftover of an interrupted run and is removed by the next one.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tidewatch.core.canonical import digest
from tidewatch.core.clock import iso
from tidewatch.quality.engine import Finding
from tidewatch.quality.gate import Gate
from tidewatch.quality.judgement import Judgement
from tidewatch.quality.plain import plain
from tidewatch.quality.quarantine import Selection

KEEP_PAGES = 200
_LOCK_WAIT_S = 60.0
_PAGES = "judgements"
_RAW = "results"


@dataclass(frozen=True)
class Content:
    """What a page shows. `batches`: name, rows staged, findings, bad rows."""

    gate: Gate
    judgement: Judgement
    now: datetime
    batches: list[tuple[str, int, list[Finding], Selection]]


def write_page(site: Path, content: Content, keep: int) -> Path:
    """Write or replace this judgement's page and the index; returns the page. OSError, TimeoutError."""
    stem = page_stem(content.judgement)
    page = site / _PAGES / f"{stem}.html"
    html = (
        _environment()
        .get_template("judgement.html.j2")
        .render(
            gate=content.gate,
            judgement=content.judgement,
            judged_at=f"{iso(content.now)[:19]}Z",
            batches=[
                {
                    "name": name,
                    "staged": rows,
                    "quarantined": selection.quarantined,
                    "lines": [(f, selection.samples.get(i, [])) for i, f in enumerate(findings)],
                }
                for name, rows, findings, selection in content.batches
            ],
        )
    )
    with _locked(site):
        _replace(page, html)
        entries = [e for e in _entries(site) if e["stem"] != stem]
        entries.append(_entry(stem, content))
        entries.sort(key=lambda e: (e["judged_at"], e["stem"]), reverse=True)
        entries = entries[:keep]
        _replace(
            site / "index.html",
            _environment().get_template("index.html.j2").render(entries=entries, keep=keep),
        )
        _replace(site / "index.json", json.dumps(entries, ensure_ascii=False, indent=0))
        _prune(site / _PAGES, {f"{e['stem']}.html" for e in entries})
    return page


def write_raw(directory: Path, judgement: Judgement, raw: dict[str, dict[str, Any]], keep: int) -> None:
    """Great Expectations' own results, one JSON file a judgement, the newest `keep`. Raises as above."""
    with _locked(directory):
        path = directory / _RAW / f"{page_stem(judgement)}.json"
        _replace(path, json.dumps(plain(raw), ensure_ascii=False, allow_nan=False))
        files = sorted((directory / _RAW).glob("*.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        _prune(directory / _RAW, {p.name for p in files[:keep]})


def page_stem(judgement: Judgement) -> str:
    """The name of the files of a judgement: the same for the same gate, run and subject, safe in any path."""
    where = judgement.where
    subject = re.sub(r"[^A-Za-z0-9_-]+", "-", where.subject).strip("-")[:60]
    return f"{judgement.gate}-{subject}-{digest([judgement.gate, where.run_id, where.subject])[:16]}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _entry(stem: str, content: Content) -> dict[str, Any]:
    judgement = content.judgement
    return {
        "stem": stem,
        "judged_at": iso(content.now),
        "gate": judgement.gate,
        "subject": judgement.where.subject,
        "dag_id": judgement.where.dag_id,
        "passed": judgement.passed,
        "critical": len(judgement.critical),
        "warnings": len(judgement.warnings),
        "staged": judgement.staged,
        "quarantined": judgement.quarantined,
    }


def _entries(site: Path) -> list[dict[str, Any]]:
    """The index as it stands; an absent or broken one is an empty one, for it can only hide old pages."""
    try:
        entries = json.loads((site / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    fields = {"stem", "judged_at", "gate", "subject", "dag_id", "passed", "critical", "warnings", "staged"}
    if not isinstance(entries, list):
        return []
    return [
        e
        for e in entries
        if isinstance(e, dict) and fields <= set(e) and (site / _PAGES / f"{e['stem']}.html").is_file()
    ]


def _prune(directory: Path, wanted: set[str]) -> None:
    for path in directory.iterdir():
        if path.name not in wanted:
            path.unlink(missing_ok=True)


def _replace(path: Path, content: str) -> None:
    """Write all of the file or nothing of it; readers see the old one until the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(content, encoding="utf-8", errors="backslashreplace")
    partial.replace(path)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One writer at a time on this machine; the kernel lets go when a holder dies. Raises TimeoutError."""
    directory.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _LOCK_WAIT_S
    with (directory / ".lock").open("w", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"another process has held {lock.name} for {_LOCK_WAIT_S:g} s"
                    ) from None
                time.sleep(0.05)
        yield
