"""Excel files as rows. What is inside is bounded before anything of it is unpacked."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from tidewatch.core.errors import ConfigError, TidewatchError
from tidewatch.sentiment.labels.mapping import Limits, Mapping
from tidewatch.sentiment.labels.rows import Formula, Row, broken, places_of, too_large

_MIB = 1024 * 1024
_MOST_PARTS = 5_000
_MOST_COLUMNS = 500
_OLE = b"\xd0\xcf\x11\xe0"


def excel_rows(name: str, data: bytes, mapping: Mapping, limits: Limits) -> Iterator[Row]:
    """Rows of the sheet of the mapping, numbered as Excel does; empty ones are left out.

    A computed cell arrives as `Formula`: what it shows is a value that Excel had cached, of no known age.
    Raises ConfigError for a broken file, a password, a zip bomb, a missing sheet or column.
    """
    _check(name, data, limits)
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=False, keep_links=False)
        sheet: Any = _sheet(name, book, mapping)
        rows = sheet.iter_rows(max_row=limits.rows + 2, max_col=_MOST_COLUMNS)
        header = [str(c.value).strip() if c.value is not None else "" for c in next(rows, ())]
        while header and not header[-1]:
            header.pop()
        places = places_of(name, header, mapping)
        for number, cells in enumerate(rows, 2):
            picked = {column: _value(cells[place]) for column, place in places.items()}
            if any(value is not None for value in picked.values()):
                yield number, picked
    except TidewatchError:
        raise
    except MemoryError:
        raise too_large(name, "more than fits into memory", "what fits", "limits.unpacked_mib") from None
    # A broken file makes openpyxl fail in every way there is: KeyError, AttributeError, ParseError, zlib's.
    except Exception as error:  # noqa: BLE001
        raise broken(name, "an Excel workbook (.xlsx)", type(error).__name__) from None


def _check(name: str, data: bytes, limits: Limits) -> None:
    if data.startswith(_OLE):
        raise broken(name, "an .xlsx without a password", "an old .xls, or a file with a password")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise broken(name, "an Excel workbook (.xlsx)", f"no zip archive ({type(error).__name__})") from None
    # zipfile never hands out more of a part than its directory says, so that this sum is a bound.
    unpacked = sum(part.file_size for part in parts)
    if unpacked > limits.unpacked_mib * _MIB:
        raise too_large(
            name, f"{unpacked // _MIB} MiB unpacked", f"{limits.unpacked_mib} MiB", "limits.unpacked_mib"
        )
    if len(parts) > _MOST_PARTS:
        raise broken(name, f"at most {_MOST_PARTS} parts", f"{len(parts)}")


def _sheet(name: str, book: Any, mapping: Mapping) -> Any:
    sheets = book.worksheets
    if mapping.sheet is None and sheets:
        return sheets[0]
    for sheet in sheets:
        if sheet.title == mapping.sheet:
            return sheet
    raise ConfigError(
        f"{name} lacks the sheet of the mapping {mapping.name}",
        expected=mapping.sheet or "one sheet at least",
        found=f"{len(sheets)} sheets of other names",
        do="correct `sheet` in config/labels.yaml",
    )


def _value(cell: Any) -> Any:
    return Formula() if cell.data_type in ("f", "e") else cell.value
