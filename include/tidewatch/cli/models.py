"""`tidewatch models`: versions of the sentiment model, which one scores, and how the next one comes."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tidewatch.cli import retrainings
from tidewatch.cli.common import Json, print_json, print_line, print_table, warehouse
from tidewatch.core.clock import utc_now
from tidewatch.core.errors import ConfigError, NotFound

app = typer.Typer(
    no_args_is_help=True,
    short_help="Versions of the sentiment model.",
    help="The registry of the sentiment model: versions that never change, and the champion, which scores.",
)

Number = Annotated[int, typer.Argument(metavar="VERSION", help="As `tidewatch models list` shows it.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides: a person whom one can ask.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a sentence.")]


@app.command(name="list", short_help="All versions.")
def list_models(as_json: Json = False) -> int:
    """Show the versions, the oldest first, with the accuracy on the texts that were held out.

    Example:

        tidewatch models list
    """
    from tidewatch.sentiment.registry import versions

    with warehouse() as conn:
        found = versions(conn)
    if as_json:
        print_json([asdict(each) for each in found])
    elif found:
        print_table(
            ["version", "champion", "registered", "by", "accuracy held out", "macro F1", "labels", "SHA-256"],
            [
                [
                    v.version,
                    "champion" if v.champion else "",
                    v.registered_at,
                    v.registered_by,
                    *_held_out(v.metrics),
                    v.model_sha256[:16],
                ]
                for v in found
            ],
        )
    else:
        print_line("No version is registered")
    return 0


@app.command(short_help="Keep a model file as the next version.")
def register(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `tidewatch sentiment train` wrote.")],
    by: By,
    as_json: Json = False,
) -> int:
    """The file is checked whole; the same file again is the version it was. Nothing scores with it yet.

    Example:

        tidewatch models register sentiment.model --by "Li Wei"
    """
    from tidewatch.sentiment.model import Model
    from tidewatch.sentiment.registry import champion
    from tidewatch.sentiment.registry import register as keep

    model = Model.load(file)
    with warehouse() as conn:
        now = champion(conn)
        kept = keep(
            conn,
            model.to_bytes(),
            dataset_sha256=str(model.header["dataset_sha256"]),
            parameters=model.header["parameters"],
            metrics=model.header["metrics"],
            compared_with=now.version if now else None,
            run=None,
            by=by,
            now=utc_now(),
        )
    if as_json:
        print_json(asdict(kept))
    else:
        print_line(f"Version {kept.version}, SHA-256 {kept.model_sha256}")
    return 0


@app.command(short_help="Make a version the champion.")
def promote(
    version: Number,
    by: By,
    reason: Why,
    instead_of: Annotated[
        int | None,
        typer.Option(metavar="VERSION", help="The champion it was compared with; none for the first."),
    ] = None,
) -> int:
    """From now on this version scores. `--instead-of` names the champion that you have compared it with: when
    that is another one by now, nothing changes.

    Example:

        tidewatch models promote 3 --instead-of 2 --by "Li Wei" --reason "better on every platform"
    """
    from tidewatch.sentiment.registry import promote as make_champion

    with warehouse() as conn:
        now = make_champion(conn, version, instead_of=instead_of, by=by, why=reason, now=utc_now())
    print_line(f"Version {now.version} is the champion since {now.since:%Y-%m-%d %H:%M}Z")
    return 0


@app.command(short_help="Bring the former champion back.")
def rollback(
    by: By,
    reason: Why,
    instead_of: Annotated[
        int | None,
        typer.Option(
            metavar="VERSION", help="The champion that is to go; if it is gone already, do nothing."
        ),
    ] = None,
) -> int:
    """One step back; said again, one step further, unless `--instead-of` names what is to go.

    Example:

        tidewatch models rollback --by "Li Wei" --reason "it takes thanks for complaints"
    """
    from tidewatch.sentiment.registry import rollback as step_back

    with warehouse() as conn:
        now = step_back(conn, by=by, why=reason, now=utc_now(), instead_of=instead_of)
    print_line(f"Version {now.version} is the champion again")
    return 0


@app.command(short_help="Write a version's file.")
def fetch(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where to write it; a name that is free.")],
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="Without it, the champion.")
    ] = None,
) -> int:
    """The bytes are checked against the SHA-256 that was registered.

    Example:

        tidewatch models fetch --to champion.model
    """
    from tidewatch.core.files import replace_file
    from tidewatch.sentiment.registry import champion, content

    if to.exists() or not to.parent.is_dir():
        raise ConfigError(
            f"The model cannot be written to {to}",
            expected="a name that is free, in a directory that is there",
            found="something that is there" if to.exists() else "no such directory",
            do="choose another name",
        )
    with warehouse() as conn:
        if version is None:
            now = champion(conn)
            if now is None:
                raise NotFound(
                    "There is no champion",
                    expected="a version that was promoted",
                    found="none yet",
                    do="name a version (`tidewatch models list`), or promote one",
                )
            version = now.version
        bytes_ = content(conn, version)
    replace_file(to, bytes_, mode=0o644)
    print_line(f"Version {version} is in {to}")
    return 0


@app.command(short_help="Let a version score beside the champion.")
def shadow(
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="Without it, show what the present one says.")
    ] = None,
    stop: Annotated[bool, typer.Option("--end", help="No version scores beside the champion.")] = False,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a sentence.")] = "",
    as_json: Json = False,
) -> int:
    """Where posts are scored, this version scores them too. Only the champion's labels are used; how often
    the two differ is counted, to be looked at before one promotes.

    Example:

        tidewatch models shadow 3 --by "Li Wei" --reason "a month beside version 2"
    """
    from tidewatch.sentiment import registry
    from tidewatch.sentiment import shadow as shadows

    with warehouse() as conn:
        if stop or version is not None:
            _require_whole(stop, version, by, reason)
            now = utc_now()
            at = (
                shadows.end(conn, by=by, why=reason, now=now)
                if version is None
                else shadows.begin(conn, version, by=by, why=reason, now=now)
            )
            print_line(
                f"Version {at.version} " + ("is no shadow any more" if stop else "scores as the shadow")
            )
            return 0
        present, champion = shadows.shadow(conn), registry.champion(conn)
        pairs = shadows.counts(conn, present) if present else []
    if as_json:
        print_json({"shadow": asdict(present) if present else None, "pairs": [asdict(p) for p in pairs]})
    elif present is None or champion is None:
        print_line("No version scores beside the champion")
    else:
        texts, other = shadows.differing(pairs, champion.version)
        print_line(
            f"Version {present.version} scores beside version {champion.version} since "
            f"{present.since:%Y-%m-%d %H:%M}Z: {texts} texts, of which it labels {other} differently"
        )
        rows = [[p.champion, p.champion_says, p.shadow_says, p.texts] for p in pairs]
        if rows:
            print_table(["champion", "champion says", "shadow says", "texts"], rows)
    return 0


app.command(short_help="Train a challenger, measure and judge it.")(retrainings.retrain)
app.command(short_help="Runs of retraining, and what came of them.")(retrainings.retrainings)
app.command(short_help="Make a challenger the champion.")(retrainings.approve)
app.command(short_help="Leave the champion.")(retrainings.reject)


def _require_whole(stop: bool, version: int | None, by: str, reason: str) -> None:
    if (stop and version is not None) or not (by and reason):
        raise ConfigError(
            "It is not clear who begins or ends which shadow, and why",
            expected="VERSION or --end, and --by and --reason",
            found="both VERSION and --end" if stop and version is not None else "no --by or no --reason",
            do="say the rest; a new shadow takes the place of the one before",
        )


def _held_out(metrics: Mapping[str, Any]) -> list[str | None]:
    """Accuracy with its interval, macro F1 and n, on the texts that were held out in training."""
    from tidewatch.sentiment.evaluate import recorded

    found = recorded(metrics)
    if found is None:
        return [None, None, None]
    accuracy = found["accuracy"]
    shown = f"{accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f})"
    return [shown, f"{found['macro_f1']:.3f}", str(found["n"])]
