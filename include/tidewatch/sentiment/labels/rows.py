"""Files as rows: CSV, TSV, JSON, JSON lines and Parquet here, Excel in `excel`, Label Studio in `studio`."""

import csv
import difflib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tidewatch.core.errors import ConfigError
from tidewatch.sentiment.labels.decode import decode
from tidewatch.sentiment.labels.mapping import Limits, Mapping

Row = tuple[int, dict[str, Any] | str]
"""The row's number in the file, and its cells by column, or the reason why it cannot be read."""

_MIB = 1024 * 1024
_ENDINGS = (".csv", ".tsv", ".xlsx", ".xlsm", ".parquet", ".json", ".jsonl")
_PARQUET_BATCH = 512


class Formula:
    """A cell of a spreadsheet that is computed, or an error: nobody's label and nobody's text."""


def read_bytes(path: Path, limits: Limits) -> bytes:
    """The file. Raises ConfigError where it is not there, has another ending or is too large."""
    if path.suffix.lower() not in _ENDINGS:
        raise ConfigError(
            f"Nobody knows what kind of file {path.name} is",
            expected="an ending of " + " ".join(_ENDINGS),
            found=path.suffix or "no ending",
            do="save it as one of these; an old .xls as .xlsx",
        )
    try:
        size = path.stat().st_size
        if size <= limits.file_mib * _MIB:
            return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The file {path} cannot be read",
            expected="a file with labels",
            found=error.strerror or type(error).__name__,
            do="correct the path or its rights",
        ) from None
    raise too_large(path.name, f"{size // _MIB} MiB", f"{limits.file_mib} MiB", "limits.file_mib")


def read_rows(name: str, data: bytes, mapping: Mapping, limits: Limits) -> tuple[Iterator[Row], str]:
    """The rows of a file, and the encoding it was read in (`binary` for Excel and Parquet).

    The whole file is refused (ConfigError) where it is broken or lacks a column, if not at once then while it
    is read.
    """
    ending = Path(name).suffix.lower()
    if ending in (".xlsx", ".xlsm"):
        from tidewatch.sentiment.labels.excel import excel_rows

        return _limited(excel_rows(name, data, mapping, limits), name, limits), "binary"
    if ending == ".parquet":
        return _limited(_parquet(name, data, mapping, limits), name, limits), "binary"
    text, encoding = decode(data, mapping.encoding)
    if mapping.kind == "label_studio":
        from tidewatch.sentiment.labels.studio import studio_rows

        return _limited(studio_rows(name, parse_json(name, text), mapping), name, limits), encoding
    if ending in (".json", ".jsonl"):
        return _limited(_objects(name, text, mapping, lines=ending == ".jsonl"), name, limits), encoding
    delimiter = mapping.delimiter or ("\t" if ending == ".tsv" else ",")
    return _limited(_csv(name, text, mapping, delimiter), name, limits), encoding


def _csv(name: str, text: str, mapping: Mapping, delimiter: str) -> Iterator[Row]:
    # A longer cell would end the whole file; how long a text may be is decided row by row.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    # strict: without it a quote that is never closed swallows the rest of the file in silence.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [h.strip() for h in next(reader, [])]
        places = places_of(name, header, mapping)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                yield reader.line_num, "columns"
            else:
                yield reader.line_num, {column: cells[place] for column, place in places.items()}
    except csv.Error as error:
        raise broken(
            name,
            "CSV in which every quoted cell is closed and quotes inside are doubled",
            f"line {reader.line_num}: {str(error)[:100]}",
        ) from None


def parse_json(name: str, text: str) -> Any:
    """The JSON value of a file. Raises ConfigError with the place, without the content."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        found = f"line {error.lineno}, column {error.colno}: {error.msg[:80]}"
    except (ValueError, RecursionError):
        found = "a number of thousands of digits, or lists inside lists deeper than can be read"
    raise broken(name, "JSON", found)


def _objects(name: str, text: str, mapping: Mapping, *, lines: bool) -> Iterator[Row]:
    if lines:
        numbered = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        values = ((n, parse_json(f"{name}, line {n}", line)) for n, line in numbered)
    else:
        whole = parse_json(name, text)
        if not isinstance(whole, list):
            raise broken(name, "a list of objects", f"JSON of another form ({type(whole).__name__})")
        values = ((n, value) for n, value in enumerate(whole, 1))
    for n, value in values:
        if not isinstance(value, dict):
            yield n, "columns"
        else:
            yield n, {c: value.get(c) for c in mapping.columns}


def _parquet(name: str, data: bytes, mapping: Mapping, limits: Limits) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        meta = file.metadata
        unpacked = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        if unpacked > limits.unpacked_mib * _MIB:
            raise too_large(
                name, f"{unpacked // _MIB} MiB", f"{limits.unpacked_mib} MiB", "limits.unpacked_mib"
            )
        if meta.num_rows > limits.rows:
            raise too_large(name, f"{meta.num_rows} rows", f"{limits.rows} rows", "limits.rows")
        places_of(name, file.schema_arrow.names, mapping)
        number = 0
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH, columns=mapping.columns, use_threads=False):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError, ValueError) as error:
        raise broken(name, "a Parquet file", type(error).__name__) from None


def places_of(name: str, header: Sequence[str], mapping: Mapping) -> dict[str, int]:
    """Where the columns of the mapping stand.

    Raises ConfigError. A first row may be a post (of a file without a header): only names close to the wanted
    ones are shown.
    """
    missing = [c for c in mapping.columns if header.count(c) != 1]
    if missing:
        close = {c: difflib.get_close_matches(c, header, n=1, cutoff=0.75) for c in missing}
        hints = [f"{c} twice" if header.count(c) > 1 else f"no {c}" for c in missing]
        near = [f"{c} is perhaps {found[0]}" for c, found in close.items() if found and header.count(c) == 0]
        raise ConfigError(
            f"{name} does not have the columns of the mapping {mapping.name}",
            expected="once each, in the first row: " + ", ".join(mapping.columns),
            found=f"{len(header)} columns, " + ", ".join(hints + near),
            do="choose or correct the mapping in config/labels.yaml (another delimiter too)",
        )
    return {c: list(header).index(c) for c in mapping.columns}


def _limited(rows: Iterator[Row], name: str, limits: Limits) -> Iterator[Row]:
    for count, row in enumerate(rows, 1):
        if count > limits.rows:
            raise too_large(name, f"more than {limits.rows} rows", f"{limits.rows} rows", "limits.rows")
        yield row


def broken(name: str, expected: str, found: str) -> ConfigError:
    """A file that is not what its ending says; nothing of it was imported."""
    return ConfigError(
        f"{name} is broken",
        expected=expected,
        found=found,
        do="save it again from the program it comes from; nothing of it was imported",
    )


def too_large(name: str, found: str, expected: str, key: str) -> ConfigError:
    """A file beyond a limit; nothing of it was imported."""
    return ConfigError(
        f"{name} is larger than is allowed",
        expected=f"at most {expected}",
        found=found,
        do=f"cut it into several files, or raise {key} in config/labels.yaml; nothing of it was imported",
    )
