"""`tidewatch db`: the schema of the warehouse."""

import typer

from tidewatch.cli.common import settings, warehouse
from tidewatch.core.database import migrate as apply_migrations

app = typer.Typer(no_args_is_help=True, help="The database of the catalogue, the ledger and the gates.")


@app.callback()
def _group() -> None:
    """Keep `migrate` a sub-command although it is the only one."""


@app.command()
def migrate() -> int:
    """Bring the schema up to date. Running it again changes nothing."""
    with warehouse() as conn:
        applied = apply_migrations(conn, settings().sql_dir / "migrations")
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print("nothing to do")
    return 0
