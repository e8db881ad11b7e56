"""`tidewatch sentiment`: train, score, evaluate and explain on files, without a database."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewatch.cli.common import Json, print_json, print_line, print_table, say

if TYPE_CHECKING:
    from tidewatch.sentiment.evaluate import Evaluation, Share

app = typer.Typer(
    no_args_is_help=True,
    short_help="The sentiment model: train it, ask it.",
    help="The sentiment model, on files: CSV or Parquet with the columns text, label and, if any, weight.",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet.")]
ModelFile = Annotated[Path, typer.Option("--model", metavar="FILE", help="The model file.")]
Sha256 = Annotated[
    str | None, typer.Option("--sha256", metavar="HEX", help="Refuse the model file if it is another one.")
]


@app.command(short_help="Learn a model from labelled texts.")
def train(
    file: File,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the model file is written.")],
    seed: Annotated[int, typer.Option(help="The same seed and texts give the same file.")] = 1,
    balance: Annotated[
        float, typer.Option(min=0, max=1, help="0: the likeliest label; 1: rare classes as if frequent.")
    ] = 0.0,
    classes: Annotated[
        str, typer.Option(metavar="NAMES", help="The classes that must occur.")
    ] = "negative,neutral,positive",
    as_json: Json = False,
) -> int:
    """Learn a model from labelled texts and write its file in one step: who is killed leaves the old one.

    Shown is how it does on texts that were held out, with their emoticons and without.

    Example:

        tidewatch sentiment train labels.csv --out sentiment.model
    """
    from tidewatch.sentiment.files import read_labelled
    from tidewatch.sentiment.train import train as learn

    labelled = read_labelled(file)
    say(f"{len(labelled.labels)} labelled texts")
    model = learn(
        labelled.texts,
        labelled.labels,
        labelled.weights,
        seed=seed,
        balance=balance,
        classes=[name.strip() for name in classes.split(",")],
    )
    digest = model.save(out)
    held, bare = (model.header["metrics"][name] for name in ("held_out", "held_out_without_emoticons"))
    if as_json:
        print_json({"file": str(out), "sha256": digest, "header": dict(model.header)})
        return 0
    print_line(f"{out}: SHA-256 {digest}")
    print_line(
        f"Held out: accuracy {held['accuracy']['value']:.1%} of {held['n']}, "
        f"macro-F1 {held['macro_f1']:.3f}, ECE {held['ece']:.4f}; "
        f"emoticons removed: accuracy {bare['accuracy']['value']:.1%}"
    )
    return 0


@app.command(short_help="Label the texts of a file.")
def score(
    file: File,
    model: ModelFile,
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV or Parquet with labels and probabilities.")],
    sha256: Sha256 = None,
    emoticons: Annotated[bool, typer.Option(help="Take emoticons and emoji into account.")] = True,
) -> int:
    """Label the texts of a file: its columns, and sentiment, p_negative, p_neutral, p_positive.

    Example:

        tidewatch sentiment score posts.parquet --model sentiment.model --out scored.parquet
    """
    import pyarrow as pa

    from tidewatch.sentiment import LABELS
    from tidewatch.sentiment.files import read_texts, write_table
    from tidewatch.sentiment.model import Model

    table = read_texts(file)
    scored = Model.load(model, sha256).score(table["text"], emoticons=emoticons)
    words = pa.array(LABELS).take(scored["label"])
    ours = {"sentiment": words} | {f"p_{name}": scored[f"p_{name}"] for name in LABELS}
    for name in ours:
        table = table.drop_columns(name) if name in table.column_names else table
    for name, column in ours.items():
        table = table.append_column(name, column)
    write_table(table, out)
    counts = {name: words.to_pylist().count(name) for name in LABELS}
    print_line(f"{out}: {table.num_rows} texts; " + ", ".join(f"{name} {n}" for name, n in counts.items()))
    return 0


@app.command(short_help="How a model does on labelled texts.")
def evaluate(
    file: File,
    model: ModelFile,
    sha256: Sha256 = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another model, compared on the same texts.")
    ] = None,
    as_json: Json = False,
) -> int:
    """How a model does on labelled texts, each share with its n and its 95 % interval.

    With --against, McNemar's exact test says whether two models differ by more than luck.

    Example:

        tidewatch sentiment evaluate test.csv --model new.model --against champion.model
    """
    from dataclasses import asdict

    from tidewatch.sentiment.evaluate import evaluate as measure
    from tidewatch.sentiment.evaluate import paired
    from tidewatch.sentiment.files import read_labelled
    from tidewatch.sentiment.model import Model

    labelled = read_labelled(file)
    ours = Model.load(model, sha256)
    found = measure(ours, labelled.texts, labelled.labels)
    answer: dict[str, Any] = {"evaluation": found.as_dict()}
    test = None
    if against is not None:
        other = Model.load(against)
        labels = [one.score(labelled.texts)["label"].to_numpy() for one in (other, ours)]
        test = paired(labels[0], labels[1], labelled.labels)
        answer["against"] = asdict(test)
    if as_json:
        print_json(answer)
        return 0
    _show(found)
    if test is not None:
        print_line(
            f"Against {against}: {test.difference:+.2%} ({test.low:+.2%} to {test.high:+.2%}); "
            f"right where the other is wrong {test.only_second}, the reverse {test.only_first}; "
            f"p = {test.p_value:.3g}"
        )
    return 0


@app.command(short_help="Why a text has its label.")
def explain(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text, in quotation marks.")],
    model: ModelFile,
    top: Annotated[int, typer.Option(min=1, help="How many n-grams are shown.")] = 10,
    as_json: Json = False,
) -> int:
    """Why a text has its label: the n-grams that spoke for it (+) and against it (-).

    Example:

        tidewatch sentiment explain "客服很耐心，就是物流太慢" --model sentiment.model
    """
    from dataclasses import asdict

    from tidewatch.sentiment.model import Model

    why = Model.load(model).explain(text, top)
    if as_json:
        print_json(asdict(why))
        return 0
    print_line(
        f"{why.label}, {why.probability:.1%}; {why.unseen:.0%} of its n-grams were never seen in training"
    )
    print_table(
        ["n-gram", "times", "effect"],
        [(f"“{one.ngram}”", one.times, f"{one.contribution:+.3f}") for one in why.reasons],
    )
    return 0


@app.command(short_help="Write the model card.")
def card(
    model: ModelFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The directory for card.md and card.html.")],
) -> int:
    """Write the model card, Markdown and HTML: what the model is, made from, how well it does, its limits.

    Example:

        tidewatch sentiment card --model sentiment.model --out card/
    """
    from tidewatch.core.files import replace_file
    from tidewatch.sentiment.card import card as make
    from tidewatch.sentiment.model import Model

    loaded = Model.load(model)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("card.md", make(loaded, "md")), ("card.html", make(loaded, "html"))):
        replace_file(out / name, text.encode(), mode=0o644)
        print_line(str(out / name))
    return 0


def _show(found: "Evaluation") -> None:
    bare = found.emoticons_removed
    print_line(f"Accuracy {_share(found.accuracy)}, macro-F1 {found.macro_f1:.3f}, ECE {found.ece:.4f}")
    if bare is not None:
        print_line(f"Emoticons removed: {_share(bare.accuracy)}, macro-F1 {bare.macro_f1:.3f}")
    print_table(
        ["class", "found (recall)", "right when named (precision)", "F1"],
        [
            (one.label, _share(one.recall), _share(one.precision), f"{one.f1:.3f}")
            for one in found.classes
        ],
    )  # fmt: skip


def _share(share: "Share | None") -> str:
    return "-" if share is None else f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%}) of {share.n}"
