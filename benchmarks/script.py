"""The script one would write by hand: pg_dump | zstd | age, then upload. Real programs in a shell.

Two ways to the first region, and the faster one is the base of every ratio: a file (in memory, so that no
disk is measured) that curl sends, and the pipe straight into a multipart upload by boto3.
"""

import shutil
from shlex import quote

from measure import Taken, shell
from place import Store
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rig import HERE, Running

NEEDED = ("zstd", "age", "curl")
TO_FILE, TO_PIPE = "one region, through a file", "one region, through a pipe"
SEQUENTIAL, PARALLEL = "three regions, one after the other", "three regions at once"
ALL_CORES = "all cores for zstd, one region"
"""As the first, with `zstd -T0`: told beside, since Tidewatch compresses with more than one thread too."""
VARIANTS = (TO_FILE, TO_PIPE, ALL_CORES, SEQUENTIAL, PARALLEL)


def missing() -> str | None:
    """How to get what is not there; None when all is."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    return f"apt-get install {' '.join(absent)}" if absent else None


def script(place: Running, variant: str, python: str) -> Taken:
    """Run one variant of the script once."""
    stores = place.rig.stores
    login = conninfo_to_dict(place.rig.database)
    dsn = make_conninfo(place.rig.database, password=None)
    env = {
        "PGPASSWORD": str(login["password"]),
        "AWS_ACCESS_KEY_ID": stores[0].login,
        "AWS_SECRET_ACCESS_KEY": stores[0].password,
    }
    threads = "-T0 " if variant == ALL_CORES else ""
    dump = place.postgres.bin_dir / "pg_dump"
    pipe = f"{dump} -Fc -Z0 -d {quote(dsn)} | zstd -3 {threads}-q -c | age -R {place.rig.recipients}"
    if variant == TO_PIPE:
        store = stores[0]
        text = f"{pipe} | {python} {HERE / 'upload.py'} {store.url} {store.bucket} by-hand/dump.age"
    else:
        file = place.scratch / "dump.age"
        sends = [
            _curl(file.as_posix(), store)
            for store in (stores[:1] if variant in (TO_FILE, ALL_CORES) else stores)
        ]
        pids = "".join(f"{send} & p{n}=$!; " for n, send in enumerate(sends))
        waits = "; ".join(f"wait $p{n}" for n in range(len(sends)))
        upload = pids + waits if variant == PARALLEL else "; ".join(sends)
        text = f"{pipe} > {file}; {upload}; rm {file}"
    return shell(text, env=env, servers=place.servers())


def _curl(file: str, store: Store) -> str:
    """The payload is not signed: less work for the script than for Tidewatch."""
    return (
        f"curl -sSf -o /dev/null --aws-sigv4 aws:amz:us-east-1:s3 --user {store.login}:{store.password}"
        f" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -T {file} {store.url}/{store.bucket}/by-hand/dump.age"
    )
