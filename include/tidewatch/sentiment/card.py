"""The model card (Mitchell et al., "Model Cards for Model Reporting", 2019): what a model is, what it was
made from, how well it does, what it is not for. Made from the model file alone; no post is in it."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from tidewatch.sentiment.model import Model

_LIMITS = (
    "Other kinds of texts than those it was trained on: accuracy falls by 10 to 25 points from one domain to "
    "another, and by the week as language drifts. Evaluate on posts of your own before relying on it.",
    "Judging a person. The label is about the words of one post; irony and quotations are often mistaken.",
    "Small differences between few posts: use the intervals.",
)


def card(model: Model, form: Literal["md", "html"]) -> str:
    """The card in Markdown or HTML."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    pages = Environment(
        loader=PackageLoader("tidewatch.sentiment", "pages"),
        autoescape=select_autoescape(["html.j2"]),
        keep_trailing_newline=True,
    )
    held = model.header["metrics"]["held_out"]
    return pages.get_template(f"card.{form}.j2").render(
        sha256=hashlib.sha256(model.to_bytes()).hexdigest(),
        sections=_sections(model),
        classes=[_class(one) for one in held["classes"] if one["recall"]],
        bins=[
            (
                f"{one['low']:.2f} to {one['high']:.2f}",
                one["n"],
                f"{one['probability']:.3f}",
                _percent(one["accuracy"]),
            )
            for one in held["reliability"]
        ],
        limits=_LIMITS,
    )


def _sections(model: Model) -> list[tuple[str, list[tuple[str, str]]]]:
    header, metrics = model.header, model.header["metrics"]
    held, bare = metrics["held_out"], metrics["held_out_without_emoticons"]
    parameters = header["parameters"]
    size = len(model.to_bytes()) / 1e6
    return [
        (
            "What it is",
            [
                ("Kind", "linear classifiers on n-grams of characters, blended and calibrated"),
                ("SHA-256", hashlib.sha256(model.to_bytes()).hexdigest()),
                ("File", f"{size:.1f} MB, 2^{header['bits']} buckets"),
                ("Versions", f"features {header['features']}, normalisation {header['normalise']}"),
            ],
        ),
        (
            "What it was made from",
            [
                ("Data version", header["dataset_sha256"]),
                ("Texts", ", ".join(f"{name} {count:,}" for name, count in header["texts"].items())),
                ("Seed", str(parameters["seed"])),
                ("Balance", f"{parameters['balance']:g} (0: the likeliest label; 1: rare as if frequent)"),
            ],
        ),
        (
            f"How well it does ({held['n']:,} texts in {parameters['folds']} folds)",
            [
                ("Accuracy", _share(held["accuracy"])),
                ("Accuracy with emoticons removed", _share(bare["accuracy"])),
                ("Macro-F1", f"{held['macro_f1']:.3f}; with emoticons removed {bare['macro_f1']:.3f}"),
                ("Calibration error (ECE, 15 bins)", f"{held['ece']:.4f}"),
            ],
        ),
    ]  # fmt: skip


def _class(one: Mapping[str, Any]) -> tuple[str, int, str, str, str]:
    precision = _share(one["precision"]) if one["precision"] else "never named"
    return one["label"], one["recall"]["n"], _share(one["recall"]), precision, f"{one['f1']:.3f}"


def _share(share: Mapping[str, Any]) -> str:
    return f"{_percent(share['value'])} ({_percent(share['low'])} to {_percent(share['high'])})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
