"""The document as JSON and as CSV files: for programs and spreadsheets."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

from tidewatch.core.plain import is_plain, plain
from tidewatch.evidence.report.document import (
    BackupFacts,
    CopyFacts,
    Document,
    QuestionFacts,
    ReportFile,
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""What may begin a formula; Excel in Chinese and Japanese takes the wide ones too (OWASP, CSV Injection)."""
_BOM = "\ufeff"
"""Spreadsheets take a CSV file for UTF-8 when it begins so."""


def report_json(report: ReportFile) -> bytes:
    """report.json: indented, sorted keys, UTF-8. Characters that steer or turn text stand as JSON escapes."""
    text = json.dumps(report.model_dump(mode="json"), ensure_ascii=False, indent=1, sort_keys=True)
    # Outside of strings JSON has no such characters but line breaks.
    return ("".join(c if c == "\n" or is_plain(c) else json.dumps(c)[1:-1] for c in text) + "\n").encode()


def csv_files(facts: Document) -> dict[str, bytes]:
    """File name -> CSV (RFC 4180, UTF-8 with a byte order mark), one file for each list of the document."""
    lists = facts.as_json()
    return {f"{name}.csv": _csv(_fields(name), rows(lists)) for name, rows in _ROWS.items()}


def _simple(name: str) -> Callable[[Mapping[str, Any]], list[dict[str, Any]]]:
    return lambda lists: list(lists[name])


def _days(lists: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line for each day, source and region."""
    return [
        {k: day[k] for k in ("day", "source")}
        | {"region": region, "in_region": state}
        | {k: day[k] for k in ("state", "backups", "finding")}
        for day in lists["days"]
        for region, state in day["regions"].items()
    ]


def _backups(lists: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line for each backup."""
    return [
        {k: v for k, v in backup.items() if k != "copies"}
        | {
            "verified_in": [c["region"] for c in backup["copies"] if c["state"] == "verified"],
            "lacking_in": [c["region"] for c in backup["copies"] if c["state"] == "lacking"],
        }
        for backup in lists["backups"]
    ]


def _copies(lists: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"backup_id": b["backup_id"]} | copy for b in lists["backups"] for copy in b["copies"]]


def _probes(lists: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {k: probe[k] for k in ("region", "probes", "unusable", "days", "last_at")} | question
        for probe in lists["probes"]
        for question in probe["questions"]
    ]


_ROWS: Mapping[str, Callable[[Mapping[str, Any]], Sequence[dict[str, Any]]]] = {
    "sources": _simple("sources"),
    "days": _days,
    "backups": _backups,
    "copies": _copies,
    "restore_tests": _simple("restore_tests"),
    "sign_offs": _simple("sign_offs"),
    "probes": _probes,
    "gates": _simple("gates"),
    "findings": _simple("findings"),
    "holds": _simple("holds"),
    "keys": _simple("keys"),
    "policies": _simple("policies"),
    "expired": _simple("expired"),
}


def _fields(name: str) -> list[str]:
    """The head of a file: the fields of what the document lists."""
    if name in _HEADS:
        return list(_HEADS[name])
    (line,) = get_args(Document.model_fields[name].annotation)
    return list(line.model_fields)


def _csv(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(fields)
    writer.writerows([_field(row[name]) for name in fields] for row in rows)
    return (_BOM + out.getvalue()).encode()


_HEADS: Mapping[str, Sequence[str]] = {
    "days": ("day", "source", "region", "in_region", "state", "backups", "finding"),
    "backups": (*(f for f in BackupFacts.model_fields if f != "copies"), "verified_in", "lacking_in"),
    "copies": ("backup_id", *CopyFacts.model_fields),
    "probes": ("region", "probes", "unusable", "days", "last_at", *QuestionFacts.model_fields),
}


def _field(value: Any) -> str | int | float:
    """A value as a cell that is shown and never computed: what a spreadsheet would take for a formula begins
    with an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = "; ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return plain(f"'{text}" if text.lstrip().startswith(_FORMULA) or text.startswith(_FORMULA) else text)
