"""config/labels.yaml: what the words, numbers and columns of files mean, and how labels are weighed."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from tidewatch.core.canonical import digest
from tidewatch.core.config import Strict
from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.sentiment.labels.posts import LONGEST_TEXT, Label

Column = Annotated[str, Field(min_length=1, max_length=200)]
Words = dict[Label, list[str]]


class Mapping(Strict):
    """How one kind of file is read. Names of columns are the file's own; a word is looked up in `values`
    first, then in the `words` of all files, without regard to case."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,50}$")]
    kind: Literal["table", "label_studio"] = "table"
    text: Column = "text"
    label: Column = "label"
    """Label Studio: the `name` of the Choices tag."""
    annotator: str | None = None
    """Who gave every label of the file."""
    annotator_column: Column | None = None
    platform: str | None = None
    """The platform of every post of the file."""
    platform_column: Column | None = None
    native_id: Column | None = None
    posted_at: Column | None = None
    labelled_at: Column | None = None
    timezone: str | None = None
    """Of times that have none."""
    values: dict[str, Label] = Field(default_factory=dict)
    encoding: str | None = None
    """None: found out from the file."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    sheet: str | None = None
    """Excel: None is the first one."""

    @model_validator(mode="after")
    def _consistent(self) -> "Mapping":
        for fixed, column in (("annotator", "annotator_column"), ("platform", "platform_column")):
            if getattr(self, fixed) is not None and getattr(self, column) is not None:
                raise ValueError(
                    f"`{fixed}` is the same for the whole file, `{column}` is a column: one of them"
                )
        has_platform = self.platform is not None or self.platform_column is not None
        if has_platform != (self.native_id is not None):
            raise ValueError("a post is known by its platform and its id there: give both, or neither")
        try:
            ZoneInfo(self.timezone or "UTC")
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("`timezone` is a name such as Asia/Shanghai") from None
        return self

    @property
    def columns(self) -> list[str]:
        """The columns that a file must have."""
        wanted = (self.text, self.label, self.annotator_column, self.platform_column, self.native_id,
                  self.posted_at, self.labelled_at)  # fmt: skip
        return [c for c in wanted if c is not None]

    def without_labels(self) -> "Mapping":
        """The same for a file of posts that nobody has labelled. Raises ConfigError for Label Studio."""
        if self.kind == "label_studio":
            raise ConfigError(
                f"The mapping {self.name} does not read posts without labels",
                expected="a mapping of a table",
                found="one of Label Studio, whose exports are labels",
                do="choose a mapping of config/labels.yaml that names the columns of your file",
            )
        return _Posts.model_validate(self.model_dump())


class _Posts(Mapping):
    """Of a file without labels: those columns need not be there."""

    @property
    def columns(self) -> list[str]:
        wanted = (self.text, self.platform_column, self.native_id, self.posted_at)
        return [c for c in wanted if c is not None]


class Limits(Strict):
    """What a file may cost before it is refused."""

    file_mib: Annotated[int, Field(ge=1, le=2000)] = 200
    unpacked_mib: Annotated[int, Field(ge=1, le=20_000)] = 500
    """What is inside an Excel or Parquet file."""
    rows: Annotated[int, Field(ge=1, le=5_000_000)] = 1_000_000
    text_chars: Annotated[int, Field(ge=1, le=LONGEST_TEXT)] = 20_000


class Reliability(Strict):
    """What is believed of an annotator before anything is known: as if he had labelled `correct` texts of
    each class right, and `wrong` of them as each of the other classes."""

    correct: Annotated[float, Field(gt=0, le=1000)] = 8
    wrong: Annotated[float, Field(gt=0, le=1000)] = 1
    undecided_below: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """A text whose most probable label is less probable is not trained on."""


class Queue(Strict):
    """The labelling page."""

    second_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of labelled texts that a second person labels blind, for the agreement."""
    seed: Annotated[str, Field(min_length=1, max_length=100)] = "tidewatch"
    """Which texts: another seed, another sample."""
    every: Annotated[int, Field(ge=2, le=100)] = 4
    """About one in so many posts shown is such a second label, while there are any."""
    most_annotators: Annotated[int, Field(ge=2, le=20)] = 3
    """A text on which people differ is not shown to more of them than this."""
    sure_from: Annotated[float, Field(gt=0.34, lt=1)] = 0.8
    """So sure a model must be to doubt a person's label."""


class LabelsFile(Strict):
    """config/labels.yaml."""

    words: Words
    mappings: list[Mapping]
    limits: Limits = Limits()
    reliability: Reliability = Reliability()
    queue: Queue = Queue()

    @model_validator(mode="after")
    def _unambiguous(self) -> "LabelsFile":
        spellings = [word.strip().lower() for words in self.words.values() for word in words]
        if twice := sorted({w for w in spellings if spellings.count(w) > 1}):
            raise ValueError(f"these words stand for more than one label, or twice: {', '.join(twice)}")
        names = [m.name for m in self.mappings]
        if len(set(names)) != len(names):
            raise ValueError("two mappings have one name")
        return self

    def mapping(self, name: str) -> Mapping:
        """The mapping of this name. Raises NotFound."""
        for mapping in self.mappings:
            if mapping.name == name:
                return mapping
        raise NotFound(
            f"There is no mapping {name}",
            expected="one of " + ", ".join(m.name for m in self.mappings),
            found=name,
            do="correct the name, or add the mapping to config/labels.yaml",
        )

    def meanings(self, mapping: Mapping) -> dict[str, Label]:
        """Every word that a file read by `mapping` may use for a label, in lower case."""
        general = {w.strip().lower(): label for label, words in self.words.items() for w in words}
        return {**general, **{w.strip().lower(): label for w, label in mapping.values.items()}}

    def reading_digest(self, mapping: Mapping, annotator: str | None) -> str:
        """SHA-256 of everything that decides how a file is read."""
        meanings = sorted(self.meanings(mapping).items())
        return digest(
            {
                "mapping": mapping.model_dump(mode="json"),
                "meanings": [list(m) for m in meanings],
                "annotator": annotator,
                "text_chars": self.limits.text_chars,
            }
        )
