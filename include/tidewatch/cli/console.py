"""`tidewatch console`: the web pages without Airflow, and who may sign in to them."""

import getpass
import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from tidewatch.access import passwords, users
from tidewatch.access.roles import ROLES
from tidewatch.cli.common import Json, print_json, print_line, print_table, warehouse
from tidewatch.core.clock import utc_now
from tidewatch.core.errors import ConfigError

app = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    short_help="The web pages; who may sign in.",
    help="The console: backups, restores, findings, holds, evidence, quality (docs/console.md).",
)

APPLICATION = "tidewatch.console.alone:application"
"""By name: the console is a neighbour, started here and not used."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="As it stands in the evidence: a person's.")]
Roles = Annotated[
    list[str],
    typer.Option("--role", metavar="ROLE", help=f"{', '.join(ROLES)}; may be given more than once."),
]
Ask = Annotated[
    bool, typer.Option("--ask", help="Type the password, instead of having one made and shown once.")
]


@app.callback()
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=1, max=65535, help="Where to listen.")] = 8793,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Speak https with this certificate (PEM).")
    ] = None,
    private_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).")] = None,
    proxy: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A proxy there speaks https for us; its headers are believed."),
    ] = None,
) -> int:
    """Serve the pages until Ctrl-C, with a sign-in of their own.

    In Airflow the console is there without this command, behind Airflow's login (docs/console.md).

    Examples:

        tidewatch console

        tidewatch console --host 0.0.0.0 --certificate site.pem --private-key site.key
    """
    if context.invoked_subcommand is not None:
        return 0
    import uvicorn

    if not (_is_local(host) or certificate or proxy):
        raise ConfigError(
            f"The console does not listen on {host} without https",
            expected="an address of this machine alone, or https",
            found="passwords and sessions would cross the network as they are",
            do="give --certificate and --private-key, or --proxy with the address of one that speaks https",
        )
    print_line(f"{'https' if certificate else 'http'}://{host}:{port}/")
    uvicorn.run(
        APPLICATION,
        factory=True,
        host=host,
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )
    return 0


@app.command(name="users", short_help="Who may sign in.")
def list_users(as_json: Json = False) -> int:
    """Everybody who may sign in to the console by itself, with roles.

    Example:

        tidewatch console users
    """
    with warehouse() as conn:
        found = users.users(conn)
    rows = [(u.name, sorted(u.roles), u.created_at, u.changed_at) for u in found]
    if as_json:
        print_json(
            [dict(zip(("name", "roles", "created_at", "changed_at"), row, strict=True)) for row in rows]
        )
    elif not rows:
        print_line("Nobody may sign in yet: `tidewatch console add-user NAME --role ROLE`")
    else:
        print_table(
            ["name", "roles", "since", "changed"], [(n, ", ".join(r), since, at) for n, r, since, at in rows]
        )
    return 0


@app.command(name="add-user", short_help="Let somebody sign in.")
def add_user(name: Name, role: Roles, ask: Ask = False) -> int:
    """Enter a user; the password is shown once, or typed with --ask.

    auditor: the evidence only. compliance: reads backups, restores and evidence, signs restore tests, places
    holds. engineer: verifies, closes findings, places holds, sees quarantined rows. analyst: the gates.

    Example:

        tidewatch console add-user li.wei --role compliance
    """
    password = _password(ask)
    with warehouse() as conn:
        users.add_user(conn, name, password, role, by=_me(), now=utc_now())
    _tell(password, ask)
    return 0


@app.command(name="set-password", short_help="Give somebody another password.")
def set_password(name: Name, ask: Ask = False) -> int:
    """Another password; every session of the user ends.

    Example:

        tidewatch console set-password li.wei
    """
    password = _password(ask)
    with warehouse() as conn:
        users.set_password(conn, name, password, by=_me(), now=utc_now())
    _tell(password, ask)
    return 0


@app.command(name="set-roles", short_help="Give somebody other roles.")
def set_roles(name: Name, role: Roles) -> int:
    """Other roles; they hold from the user's next page on.

    Example:

        tidewatch console set-roles li.wei --role compliance --role engineer
    """
    with warehouse() as conn:
        users.set_roles(conn, name, role, by=_me(), now=utc_now())
    return 0


@app.command(name="remove-user", short_help="Let somebody sign in no longer.")
def remove_user(name: Name) -> int:
    """The user and every session are gone; what was done stays in the ledger.

    Example:

        tidewatch console remove-user li.wei
    """
    with warehouse() as conn:
        users.remove_user(conn, name, by=_me(), now=utc_now())
    return 0


def _password(ask: bool) -> str:
    return (
        typer.prompt("Password", hide_input=True, confirmation_prompt=True) if ask else passwords.generate()
    )


def _tell(password: str, ask: bool) -> None:
    if not ask:
        print_line(password)


def _me() -> str:
    """Who gives the command, for the ledger: the account of the operating system."""
    return f"{getpass.getuser()} (command line)"


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
