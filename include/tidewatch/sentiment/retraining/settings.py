"""config/retraining.yaml: what is held out, how a challenger is searched for, what it must reach."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tidewatch.core.config import Strict, read_yaml

Fraction = Annotated[float, Field(ge=0, le=1)]
Inside = Annotated[float, Field(gt=0, lt=1)]


def _no_number(value: Any) -> Any:
    # 20260314 would be seconds since 1970.
    if isinstance(value, int | float):
        raise ValueError("a time with its zone, such as 2026-03-14T00:00:00+08:00")
    return value


def _zoned(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time with its zone, such as 2026-03-14T00:00:00+08:00")
    return moment


Moment = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_zoned)]


class HeldOut(Strict):
    """Which posts are never trained on, but measured with."""

    share: Inside = 0.2
    """Of the texts that people labelled, drawn by hash, near-duplicates together."""
    seed: Annotated[str, Field(min_length=1, max_length=100)] = "tidewatch"
    near_duplicates: Inside = 0.7
    """From this Jaccard similarity of their n-grams on, two texts are one for the draw."""
    recent_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Posts so young when the labels are frozen are the set `recent`."""


class Crisis(Strict):
    """A time in which posts were of another kind; held-out posts of it are a set of their own."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")]
    begins: Moment
    ends: Moment
    platforms: list[str] = Field(default_factory=list)
    """Empty: all."""

    @model_validator(mode="after")
    def _lasts(self) -> "Crisis":
        if self.ends <= self.begins:
            raise ValueError("`ends` is after `begins`")
        return self

    def holds(self, posted_at: datetime | None, platform: str | None) -> bool:
        """Whether a post is of this crisis; without a time it is of none."""
        return (
            posted_at is not None
            and self.begins <= posted_at < self.ends
            and (not self.platforms or platform in self.platforms)
        )


class Enough(Strict):
    """From how many labels on a test means something."""

    train_per_class: Annotated[int, Field(ge=10)] = 100
    platform: Annotated[int, Field(ge=1)] = 50
    """Held-out posts of a platform from which on it is judged by itself."""
    expected_recall: Inside = 0.9
    """The share of a class that is expected to be found: with it, the lower bound must reach the floor."""
    power: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    """How probable it must be that McNemar's test sees a difference of `limits.margin`; below one half the
    formula for n means nothing."""
    discordance: Inside = 0.1
    """Share of posts that only one of two models gets right, before a run has measured it."""


class Drift(Strict):
    """Drift of inputs between recent posts and those before."""

    false_alarms: Inside = 0.01
    """Of all features together, where nothing has drifted."""
    refuses: bool = False
    """Drift is the reason to retrain: it is told, and refuses nothing unless this is true."""


class Search(Strict):
    """Which challengers are tried, and how many trainings that may take."""

    trainings: Annotated[int, Field(ge=1, le=1000)] = 18
    """All of them, the last one of the challenger itself included."""
    folds: Annotated[int, Field(ge=2, le=10)] = 3
    cost: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = (1.0, 0.3, 3.0)
    foreign: tuple[Fraction, ...] = (1.0, 0.3, 0.0)
    """How much a label of the seed corpus weighs beside one of a person; 0 leaves them out."""
    balance: tuple[Annotated[float, Field(ge=0, le=2)], ...] = (0.0, 0.25, 0.5, 1.0)
    allowance: Fraction = 0.005
    """So much accuracy may be given away for rare classes: among what is at most so far below the best
    accuracy, the best mean of the classes is taken (macro F1)."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    bits: Annotated[int, Field(ge=10, le=20)] = 20

    @model_validator(mode="after")
    def _something_to_try(self) -> "Search":
        for name in ("cost", "foreign", "balance"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"`{name}` is a list of different numbers, the usual one first")
        return self


class Limits(Strict):
    """What config/gates/model.yaml holds a challenger to."""

    accuracy: Inside = 0.85
    recall: Inside = 0.85
    precision: Inside = 0.85
    """Lower bounds (Wilson, 95 %) on the frozen set, recall and precision of every class."""
    margin: Annotated[float, Field(ge=0.001, lt=1)] = 0.03
    """So much accuracy it may lose on a set before it counts as worse there."""
    calibration: Inside = 0.03
    """The calibration error (ECE)."""
    without_emoticons: Inside = 0.15
    """Accuracy that may rest on emoticons before it is told."""
    posts_per_second: Annotated[float, Field(gt=0, le=1e9)] = 50_000
    """On one core, measured in the run."""
    speed_repeats: Annotated[int, Field(ge=1, le=99)] = 5
    speed_posts: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000


class Approval(Strict):
    """The question to a person."""

    days: Annotated[int, Field(ge=1, le=60)] = 7
    """Without an answer the challenger is not promoted."""
    shown: Annotated[int, Field(ge=1, le=200)] = 20
    """Posts on which the two differ."""


class RetrainingFile(Strict):
    """config/retraining.yaml."""

    held_out: HeldOut = HeldOut()
    crises: list[Crisis] = Field(default_factory=list)
    enough: Enough = Enough()
    drift: Drift = Drift()
    search: Search = Search()
    limits: Limits = Limits()
    approval: Approval = Approval()

    @model_validator(mode="after")
    def _names_differ(self) -> "RetrainingFile":
        names = [crisis.name for crisis in self.crises]
        if len(set(names)) != len(names):
            raise ValueError("two crises have one name")
        return self


def load_retraining(config_dir: Path) -> RetrainingFile:
    """Raises ConfigError listing every problem of the file."""
    return read_yaml(config_dir / "retraining.yaml", RetrainingFile)
