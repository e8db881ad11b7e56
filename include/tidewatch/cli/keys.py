"""`tidewatch keys`: the two pairs an installation needs."""

from pathlib import Path
from typing import Annotated

import typer

from tidewatch.core.errors import ConfigError
from tidewatch.core.signing import SigningKey

app = typer.Typer(no_args_is_help=True, help="Signing keys and encryption recipients.")


@app.callback()
def _group() -> None:
    """Keep `create` a sub-command although it is the only one."""


@app.command()
def create(
    directory: Annotated[Path, typer.Option("--dir", help="For what the backup side needs.")],
    offline_directory: Annotated[
        Path, typer.Option("--offline-dir", help="For the private decryption key: move it away from here.")
    ],
) -> int:
    """Create a signing key pair and an age key pair. Existing files are kept; nothing is ever overwritten.

    DIR gets signing.pem (secret), signing.pub.pem and recipients.txt (public). OFFLINE-DIR gets identity.txt,
    the only key that opens backups: keep it in two safe places, neither of them this machine.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    offline_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _signing_pair(directory)
    _age_pair(directory / "recipients.txt", offline_directory / "identity.txt")
    return 0


def _signing_pair(directory: Path) -> None:
    private, public = directory / "signing.pem", directory / "signing.pub.pem"
    if private.exists():
        print(f"kept    {private}")
    else:
        SigningKey.generate().save(private)
        print(f"created {private} (secret)")
    if not public.exists():
        SigningKey.load(private).public.save(public)
        print(f"created {public}")


def _age_pair(recipients: Path, identity: Path) -> None:
    import pyrage

    if recipients.exists():
        print(f"kept    {recipients}")
        return
    if identity.exists():
        raise ConfigError(
            f"{identity} exists without {recipients}",
            expected="both files, or neither",
            found="a private key whose public half is missing",
            do="put the matching recipients.txt back, or give an empty --offline-dir for a new pair",
        )
    pair = pyrage.x25519.Identity.generate()
    identity.touch(mode=0o600)
    identity.write_text(f"# public key: {pair.to_public()}\n{pair}\n")
    recipients.write_text(f"{pair.to_public()}\n")
    print(f"created {recipients}")
    print(f"created {identity} (secret: move it away from this machine)")
