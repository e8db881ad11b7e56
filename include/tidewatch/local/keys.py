"""The keys of a local installation, made once.

`keys/` is what the backup side holds: the pair that signs manifests, and the age *recipient*, which can
encrypt and not decrypt. `keys-offline/` is the other half. Here it lies beside it, because a demonstration
must be able to restore; in production it lives elsewhere, and its README says so.
"""

from pathlib import Path

from pyrage import x25519

from tidewatch.core.files import write_private
from tidewatch.core.signing import SigningKey

_README = """\
This directory holds the key that opens the backups (an age identity).

On this machine it lies beside the backup side, because a demonstration must be able to restore.
In production it does not: keep it offline or in a vault of its own, on at least two carriers, with at
least two people who know where. The backup side only needs ../keys/: whoever takes that machine can neither
read the backups nor change them unnoticed. Without this key nobody can read them, ourselves included.

    age --decrypt -i identity.txt object.age | zstd -d > object
"""


def ensure_keys(home: Path) -> None:
    """Make what is missing; nothing that exists is replaced, because old backups need old keys."""
    keys, offline = home / "keys", home / "keys-offline"
    for directory in (keys, offline):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    signing = keys / "signing.pem"
    if not signing.exists():
        SigningKey.generate().save(signing)
    public = keys / "signing.pub.pem"
    if not public.exists():
        SigningKey.load(signing).public.save(public)
    identity_file = offline / "identity.txt"
    if not identity_file.exists():
        identity = x25519.Identity.generate()
        write_private(identity_file, f"# public key: {identity.to_public()}\n{identity}\n")
    recipients = keys / "recipients.txt"
    if not recipients.exists():
        secret = identity_file.read_text(encoding="ascii").splitlines()[-1]
        public_key = x25519.Identity.from_str(secret).to_public()
        recipients.write_text(
            f"# who can open the backups: one age public key a line\n{public_key}\n", "ascii"
        )
    readme = offline / "README.txt"
    if not readme.exists():
        readme.write_text(_README, encoding="utf-8")
