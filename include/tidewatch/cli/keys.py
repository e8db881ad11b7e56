"""`tidewatch keys`: the two pairs an installation needs, and how they change."""

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidewatch.cli.common import (
    Json,
    print_json,
    print_line,
    print_table,
    settings,
    warehouse,
    warehouse_session,
)
from tidewatch.cli.failures import complain
from tidewatch.core.clock import utc_now
from tidewatch.core.errors import ConfigError
from tidewatch.core.keysfile import read_keys_file
from tidewatch.core.signing import KeyRing, SigningKey

if TYPE_CHECKING:
    from tidewatch.backup.keys.usage import KeyUse

app = typer.Typer(
    no_args_is_help=True,
    short_help="Signing keys and encryption recipients.",
    help="The pair that signs manifests, and the pair that encrypts backups.",
)
rotate = typer.Typer(
    no_args_is_help=True,
    short_help="New keys from now on; old ones stay known.",
    help="New keys from now on. Old backups stay readable and verifiable; the ledger tells of the change.",
)
app.add_typer(rotate, name="rotate")

_VARIABLES = {
    "TIDEWATCH_SIGNING_KEY_FILE": "signing.pem",
    "TIDEWATCH_VERIFY_KEY_FILE": "signing.pub.pem",
    "TIDEWATCH_RECIPIENTS_FILE": "recipients.txt",
}
"""Without them the keys in the state directory are used: those of the local stack, where there is one."""


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


@app.command(name="list")
def list_keys(as_json: Json = False) -> int:
    """Every key, and how long it is needed.

    Encryption: the private half (the identity) of each key listed must be kept as long as there are backups
    that need it; what opens a backup is any one of its keys. Signing: the public half stays in the verify
    key file for as long. Holder and dates come from config/keys.yaml.

    Example:

        tidewatch keys list
    """
    from tidewatch.backup.keys.usage import encryption_keys, signing_keys
    from tidewatch.vault.envelope import load_recipients

    here = settings()
    known, ring = read_keys_file(here.config_dir), KeyRing.load(here.verify_key_file)
    recipients = load_recipients(here.recipients_file).key_ids
    signs = SigningKey.load(here.signing_key_file).public.key_id if here.signing_key_file.exists() else None
    with warehouse() as conn:
        encryption = encryption_keys(conn, recipients, known)
        signing = signing_keys(conn, ring, signs, known)
    if as_json:
        print_json({"encryption": [asdict(k) for k in encryption], "signing": [asdict(k) for k in signing]})
        return 0
    print_table(
        ["key id", "state", "backups that need it", "locked until", "holder", "created", "expires"],
        [[k.key_id, k.state, _span(k), k.until, k.holder, k.created, k.expires] for k in encryption],
        title="Encryption: keep the private half of each as long as backups need it",
    )
    print_table(
        ["key id", "state", "manifests signed", "named by", "holder", "created", "expires"],
        [[k.key_id, k.state, _span(k), k.vouched_by, k.holder, k.created, k.expires] for k in signing],
        title=f"Signing: public halves in {here.verify_key_file}",
    )
    for key in signing:
        if key.key_id not in ring.key_ids:
            print_line(
                f"{key.key_id} has signed, but is not in the verify key file: put its public half back"
            )
    return 0


def _span(key: "KeyUse") -> str:
    if not key.backups or key.first is None or key.last is None:
        return "none"
    return f"{key.backups}, {key.first:%Y-%m-%d} to {key.last:%Y-%m-%d}"


@rotate.command()
def recipients(
    add: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Public keys (age or SSH), one a line; may be given more than once."
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A key id, or a file of public keys; may be given more than once."),
    ] = None,
) -> int:
    """Change whom backups are encrypted to.

    From the next backup on. Those made before are opened by the keys they were made for: keep the old
    private keys as long as `keys list` shows backups that need them. Pictures and other files are uploaded
    once more by the next backup, since what was sent before is encrypted to the old keys.

    The file that TIDEWATCH_RECIPIENTS_FILE names is replaced in one step and the ledger told. Editing it by
    hand does as well: then the next backup notices and records it.

    Example:

        tidewatch keys rotate recipients --add new.txt --remove 0123456789abcdef
    """
    from tidewatch.backup.keys.recipients import rotate_recipients

    if not add and not remove:
        raise typer.BadParameter("give at least one --add or --remove")
    here = settings()
    change = rotate_recipients(
        here.recipients_file, warehouse_session, utc_now(), add=add or [], remove=remove or [], progress=_note
    )
    if change.old == change.new:
        print_line(f"nothing to do: backups are encrypted to {', '.join(change.new)}")
        return 0
    print_line(f"from the next backup on, backups are encrypted to {', '.join(change.new)}; the ledger knows")
    if gone := [k for k in change.old if k not in change.new]:
        print_line(
            f"keep the private half of {', '.join(gone)}: earlier backups need it (`tidewatch keys list`)"
        )
    return 0


@rotate.command()
def signing(
    replace: Annotated[
        str | None,
        typer.Option(
            metavar="KEY_ID", help="Only if this is the key in use: for scripts that may run twice."
        ),
    ] = None,
) -> int:
    """Make a new signing key.

    The old key names the new one in the ledger, its public half stays in the verify key file, and the new
    private key takes its place. May be stopped anywhere and given again. The old private key is gone
    afterwards; nothing needs it.

    Give the new verify key file to whoever checks manifests elsewhere, and restart workers that were given
    copies of the key files (docs/keys.md).

    Example:

        tidewatch keys rotate signing
    """
    from tidewatch.backup.keys.signing import rotate_signing_key

    done = rotate_signing_key(settings(), warehouse_session, utc_now(), replacing=replace)
    if done.done:
        print_line(f"{done.new_key_id} signs from now on; what {done.old_key_id} signed stays verifiable")
    else:
        print_line(f"nothing to do: {done.old_key_id} was replaced before, {done.new_key_id} is in use")
    return 0


def _note(line: str) -> None:
    if line.startswith("not there"):
        complain(line)


def _signing_pair(private: Path, public: Path) -> None:
    if public.exists() and not private.exists():
        raise ConfigError(
            f"{public} exists without {private}",
            expected="both files, or neither",
            found="a public key whose private half is missing",
            do=f"put the matching {private.name} back; or, for a new pair, move {public.name} to a safe "
            "place (what was signed so far is checked with it), run this again, and put the old keys before "
            "the new one (docs/keys.md)",
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
