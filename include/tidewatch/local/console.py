"""What the commands of the local stack say."""

from collections.abc import Callable

from rich.console import Console

from tidewatch.local.stack import Report, Stack


def reporter(console: Console) -> Report:
    """Prints one line a finished step."""

    def report(what: str, detail: str, seconds: float) -> None:
        console.print(f"[green]✓[/] {what:<20} {detail}  [dim]{seconds:.1f} s[/]")

    return report


def waiting(console: Console) -> Callable[[str], None]:
    """Says whom we wait for."""

    def say(holder: str) -> None:
        console.print(f"Another command is at work on this stack (process {holder}); waiting for it.")

    return say


def print_login(console: Console, stack: Stack) -> None:
    """Address and login. The password itself is shown to a person at a terminal, not to a log."""
    where = stack.airflow.password if console.is_terminal else f"in {stack.airflow.password_file}"
    console.print(f"\nAirflow: {stack.airflow.url}   user: admin   password: {where}", markup=False)
    console.print(f"Console: {stack.airflow.url}/tidewatch/   (the same login)", markup=False)
    pages = stack.settings.data_docs_dir / "index.html"
    if pages.exists():
        console.print(f"Results of the gates: {pages}", markup=False)
    use = f"`. {stack.home / 'env'}` lets `tidewatch` and `airflow` in this shell work with it"
    console.print(f"{use}; `make down` stops it.", markup=False)
    console.print("Then try: tidewatch restores test --source ops --no-older", markup=False)
