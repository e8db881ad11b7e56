"""Files with labels, good and bad, made here."""

import io
import itertools
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROWS = [("太差了,不会再来", "负面"), ("还行", "neutral"), ('很好\n"真的"', "POS")]


def csv_text(rows: Sequence[Sequence[str]] = ROWS, header: Sequence[str] = ("text", "label")) -> str:
    import csv

    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue()


def workbook(path: Path, rows: Sequence[Sequence[Any]], sheet: str = "Sheet1") -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.worksheets[0].title = sheet
    for row in rows:
        book.worksheets[0].append(list(row))
    book.save(path)
    return path


def zip_bomb(path: Path, mib: int) -> Path:
    """A small .xlsx whose first sheet has so many MiB."""
    workbook(path, [("text", "label")])
    parts = {n: zipfile.ZipFile(path).read(n) for n in zipfile.ZipFile(path).namelist()}
    parts["xl/worksheets/sheet1.xml"] = b"<worksheet>" + b" " * (mib * 1024 * 1024)
    return _zip(path, parts)


def entity_bomb(path: Path) -> Path:
    """A billion laughs in the first sheet."""
    workbook(path, [("text", "label")])
    parts = {n: zipfile.ZipFile(path).read(n) for n in zipfile.ZipFile(path).namelist()}
    names = [f"l{n}" for n in range(12)]
    entities = '<!ENTITY l0 "ha">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in itertools.pairwise(names)
    )
    sheet = f'<!DOCTYPE worksheet [{entities}]><worksheet><sheetData><row r="1"><c t="inlineStr"><is><t>&l11;'
    parts["xl/worksheets/sheet1.xml"] = f"{sheet}</t></is></c></row></sheetData></worksheet>".encode()
    return _zip(path, parts)


def far_row(path: Path) -> Path:
    """A sheet that says its second row is number two billion."""
    workbook(path, [("text", "label"), ("x", "pos")])
    parts = {n: zipfile.ZipFile(path).read(n) for n in zipfile.ZipFile(path).namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name] = parts[name].replace(b'<row r="2"', b'<row r="2000000000"')
    return _zip(path, parts)


def _zip(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def task(number: int, text: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "data": {"text": text},
        "annotations": list(annotations),
        "predictions": [{"result": []}],
    }


def annotation(who: Any, *choices: str, cancelled: bool = False) -> dict[str, Any]:
    result = [
        {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": list(choices)}},
        {
            "from_name": "topic",
            "to_name": "text",
            "type": "choices",
            "value": {"choices": ["service", "price"]},
        },
    ]
    return {
        "completed_by": who,
        "was_cancelled": cancelled,
        "created_at": "2026-11-20T08:00:00.000000Z",
        "updated_at": "2026-11-20T08:01:00.123456Z",
        "result": result,
    }


def studio(*tasks: dict[str, Any]) -> str:
    return json.dumps(list(tasks), ensure_ascii=False)
