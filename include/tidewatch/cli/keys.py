"""`tidewatch keys`: the two pairs an installation needs."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from tidewatch.cli.common import print_line
from tidewatch.core.errors import ConfigError
from tidewatch.core.signing import KeyRing, SigningKey

app = typer.Typer(
    no_args_is_help=True,
    short_help="Signing keys and encryption recipients.",
    help="The pair that signs manifests, and the pair that encrypts backups.",
)

_VARIABLES = {
    "TIDEWATCH_SIGNING_KEY_FILE": "signing.pem",
    "TIDEWATCH_VERIFY_KEY_FILE": "signing.pub.pem",
    "TIDEWATCH_RECIPIENTS_FILE": "recipients.txt",
}
"""Without them the keys in the state directory are used: those of the local stack, where there is one."""


@app.callback()
def _group() -> None:
    """Keep `create` a sub-command although it is the only one."""


@app.command()
def create(
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="For what the backup side needs.")],
    offline_directory: Annotated[
        Path,
        typer.Option(
            "--offline-dir", metavar="DIR", help="For the private decryption key: move it away from here."
        ),
    ],
) -> int:
    """Create both key pairs; overwrite nothing.

    --dir gets signing.pem (secret), signing.pub.pem and recipients.txt (public). --offline-dir gets
    identity.txt, the only key that opens backups: keep it in two safe places, neither of them this machine.

    Files that exist are kept, so that running it again is harmless; half of a pair whose other half is gone
    is an error, because a new half would not fit what was signed or encrypted so far.

    Example:

        tidewatch keys create --dir keys --offline-dir keys-offline
    """
    if directory.resolve() == offline_directory.resolve():
        raise typer.BadParameter("--dir and --offline-dir must differ: who has both keys has the backups")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    offline_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _signing_pair(directory / "signing.pem", directory / "signing.pub.pem")
    _age_pair(directory / "recipients.txt", offline_directory / "identity.txt")
    print_line("to use them, here and where Airflow runs (otherwise others, or none, are used):")
    for variable, name in _VARIABLES.items():
        print_line(f"  export {variable}={shlex.quote(str(directory.resolve() / name))}")
    return 0


def _signing_pair(private: Path, public: Path) -> None:
    if public.exists() and not private.exists():
        raise ConfigError(
            f"{public} exists without {private}",
            expected="both files, or neither",
            found="a public key whose private half is missing",
            do=f"put the matching {private.name} back; or, for a new pair, move {public.name} to a safe "
            "place (what was signed so far is checked with it) and run this again",
        )
    if private.exists():
        key = SigningKey.load(private)
        print_line(f"kept    {private}")
    else:
        key = SigningKey.generate()
        key.save(private)
        print_line(f"created {private} (secret)")
    if not public.exists():
        key.public.save(public)
        print_line(f"created {public}")
        return
    if key.public.key_id not in (found := KeyRing.load(public).key_ids):
        raise ConfigError(
            f"{public} and {private} are not a pair",
            expected=f"the public key {key.public.key_id}",
            found=f"the public key {', '.join(found)}",
            do="put the file back that belongs to the other; nothing was changed",
        )
    print_line(f"kept    {public}")


def _age_pair(recipients: Path, identity: Path) -> None:
    import pyrage

    if recipients.exists():
        print_line(f"kept    {recipients}")
        return
    if identity.exists():
        raise ConfigError(
            f"{identity} exists without {recipients}",
            expected="both files, or neither",
            found="a private key whose public half is missing",
            do="put the matching recipients.txt back (the comment in the identity file shows its line), or "
            "give an empty --offline-dir for a new pair",
        )
    pair = pyrage.x25519.Identity.generate()
    descriptor = os.open(identity, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"# public key: {pair.to_public()}\n{pair}\n")
    recipients.write_text(f"{pair.to_public()}\n", encoding="ascii")
    print_line(f"created {recipients}")
    print_line(f"created {identity} (secret: move it away from this machine)")
