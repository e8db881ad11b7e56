"""Bytes of a text file as text: the encodings that Excel, WPS and platforms really write."""

import codecs

from tidewatch.core.errors import ConfigError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MAGIC = (
    (b"PK\x03\x04", "an Excel or zip file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls) or one with a password"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"%PDF", "a PDF"),
)
_SAMPLE = 4096


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """The text without its byte order mark, and the name of the encoding.

    A mark decides, then `declared`, then: UTF-8 where it is valid, UTF-16 where every other byte is zero, and
    GB18030 (which contains GBK and GB2312) else. Lone surrogates are let through, so that a row which holds
    one can be refused alone. Raises ConfigError; its text holds nothing of the file.
    """
    for magic, what in _MAGIC:
        if data.startswith(magic):
            raise _wrong(f"{what}", "give the file its own ending, or unpack it")
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _strictly(data[len(mark) :], encoding), encoding
    if declared is not None:
        return _strictly(data, _known(declared)), declared
    if (wide := _wide(data[:_SAMPLE])) is not None:
        return _strictly(data, wide), wide
    try:
        return data.decode("utf-8", "surrogatepass"), "utf-8"
    except UnicodeDecodeError as error:
        at = error.start
    try:
        return data.decode("gb18030"), "gb18030"
    except UnicodeDecodeError as error:
        found = f"byte {at + 1} is not UTF-8, byte {error.start + 1} is not GB18030"
        raise _wrong(found, "save it as UTF-8, or name its `encoding` in the mapping") from None


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a mark: ASCII characters, line ends at least, have a zero beside them."""
    sample = sample[: len(sample) // 2 * 2]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 20 < len(sample) or min(even, odd) * 4 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _strictly(data: bytes, encoding: str) -> str:
    errors = "surrogatepass" if encoding.lower().startswith("utf-") else "strict"
    try:
        return data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        found = f"byte {error.start + 1} that is not {encoding}"
        raise _wrong(found, "save it as UTF-8, or correct `encoding` in the mapping") from None


def _known(name: str) -> str:
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    if found is None or not found._is_text_encoding:
        raise ConfigError(
            "The encoding of the mapping is not known",
            expected="utf-8, gb18030, utf-16, big5, …",
            found=name[:40],
            do="correct `encoding` in config/labels.yaml, or leave it out",
        )
    return found.name


def _wrong(found: str, do: str) -> ConfigError:
    return ConfigError("The file is not text that can be read", expected="a text file", found=found, do=do)
