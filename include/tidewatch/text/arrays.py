"""Texts as Arrow keeps them: one buffer of UTF-8 and where each text begins."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]


def utf8(texts: "Texts") -> "tuple[pa.Array, np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """`texts` as one large_string array, its bytes (uint8) and its offsets (int64, one more than texts).

    Strings of Python may hold lone surrogates, which Arrow refuses: they become "?". The bytes of a null are
    those of an empty text. Raises TypeError when the texts are no texts.
    """
    import pyarrow as pa

    if not isinstance(texts, pa.Array | pa.ChunkedArray):
        texts = pa.array([_encodable(text) for text in texts], pa.large_string())
    if not (pa.types.is_null(texts.type) or _is_text(texts.type)):
        raise TypeError(f"a column of texts is needed, not one of {texts.type}")
    array = texts.cast(pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.large_string())
    filled = array.fill_null("") if array.null_count else array
    _, places, content = filled.buffers()
    if len(array) == 0 or places is None:
        return array, np.empty(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    offsets = np.frombuffer(places, np.int64)[filled.offset : filled.offset + len(array) + 1]
    data = np.empty(0, np.uint8) if content is None else np.frombuffer(content, np.uint8)
    return array, data, offsets


def _encodable(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode()


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))
