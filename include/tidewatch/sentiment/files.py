"""Labelled texts in files: CSV or Parquet with the columns text, label and, where there is one, weight."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.core.files import replace_file
from tidewatch.sentiment import LABELS

if TYPE_CHECKING:
    import pyarrow as pa

_OURS = ("text", "label", "weight", "sentiment", *(f"p_{name}" for name in LABELS))
"""Columns that are read or written; of others there may be several of one name."""
SHORT = {"neg": 0, "neu": 1, "pos": 2}


class Labelled(NamedTuple):
    """Texts, their labels (int8) and how far each is trusted (float64, or None)."""

    texts: "pa.ChunkedArray"
    labels: np.ndarray[Any, np.dtype[np.int8]]
    weights: np.ndarray[Any, np.dtype[np.float64]] | None


def read_labelled(path: Path) -> Labelled:
    """Read a file with labels in words (negative, neutral, positive; also neg, neu, pos).

    Raises NotFound, ConfigError; neither quotes the file.
    """
    table = read_texts(path, "label")
    words = {name: number for number, name in enumerate(LABELS)} | SHORT
    given = [str(word).strip().lower() for word in table["label"].to_pylist()]
    wrong = [row for row, word in enumerate(given, 1) if word not in words]
    if wrong:
        raise _unreadable(path, f"labels that are one of {', '.join(words)}", f"others in {_rows(wrong)}")
    weights = None
    if "weight" in table.column_names:
        import pyarrow as pa

        try:
            weights = table["weight"].cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            raise _unreadable(path, "numbers in the column weight", "something else") from None
    return Labelled(table["text"], np.array([words[word] for word in given], np.int8), weights)


def read_texts(path: Path, *columns: str) -> "pa.Table":
    """The table of a CSV or Parquet file that has a column text, as strings, and `columns`.

    Raises NotFound, ConfigError.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix.lower() == ".parquet":
            table = parquet.read_table(path)
        else:
            convert = csv.ConvertOptions(column_types={name: pa.string() for name in ("text", "label")})
            parse = csv.ParseOptions(newlines_in_values=True)
            table = csv.read_csv(path, parse_options=parse, convert_options=convert)
            if table.num_columns == 1:  # an empty line is then an empty text
                parse.ignore_empty_lines = False
                table = csv.read_csv(path, parse_options=parse, convert_options=convert)
    except FileNotFoundError:
        raise NotFound(
            "There is no such file",
            expected=f"a CSV or Parquet file at {path}",
            found="none",
            do="name one that is there",
        ) from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError):  # their words may quote a post
        raise _unreadable(
            path, "CSV in UTF-8 with a head, or Parquet", "a file that cannot be read so"
        ) from None
    missing = [name for name in ("text", *columns) if name not in table.column_names]
    if missing:
        raise _unreadable(
            path, f"the columns text and {', '.join(columns) or 'any others'}", f"no {', '.join(missing)}"
        )
    twice = [name for name in _OURS if table.column_names.count(name) > 1]
    if twice:
        raise _unreadable(path, "one column of a name", f"two or more: {', '.join(twice)}")
    if not (pa.types.is_string(table["text"].type) or pa.types.is_large_string(table["text"].type)):
        raise _unreadable(path, "texts in the column text", str(table["text"].type))
    return table


def _rows(rows: list[int]) -> str:
    shown = ", ".join(str(row) for row in rows[:5])
    return f"{len(rows)} rows (row {shown}{', …' if len(rows) > 5 else ''}; the head is not counted)"


def _unreadable(path: Path, expected: str, found: str) -> ConfigError:
    return ConfigError(
        f"{path.name} cannot be used", expected=expected, found=found, do="correct the file and try again"
    )


def write_table(table: "pa.Table", path: Path) -> None:
    """Write CSV or Parquet, by the name, in one step."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    sink = pa.BufferOutputStream()
    if path.suffix.lower() == ".parquet":
        parquet.write_table(table, sink)
    else:
        csv.write_csv(table, sink)
    replace_file(path, sink.getvalue().to_pybytes(), mode=0o600)
