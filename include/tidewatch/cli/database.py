"""`tidewatch db`: the schema of the warehouse."""

import typer

from tidewatch.cli.common import print_line, settings, warehouse
from tidewatch.core.database import migrate as apply_migrations

app = typer.Typer(
    no_args_is_help=True,
    short_help="The schema of the warehouse.",
    help="The warehouse: the database of the catalogue, the ledger and the gates.",
)


@app.callback()
def _group() -> None:
    """Keep `migrate` a sub-command although it is the only one."""


@app.command()
def migrate() -> int:
    """Bring the schema up to date.

    Applies what is new in sql/migrations, all of it or nothing. Running it again changes nothing. The role
    of the connection must own the database, or have been granted CREATE on it.
    """
    with warehouse() as conn:
        applied = apply_migrations(conn, settings().sql_dir / "migrations")
    for name in applied:
        print_line(f"applied {name}")
    if not applied:
        print("nothing to do")
    return 0
