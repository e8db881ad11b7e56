"""The commands of docs/restore-by-hand.md, run as they stand there, where no `tidewatch` can be imported."""

import hashlib
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from backup_rig import PROJECT, Rig, run_sql

from tidewatch.core.database import connect
from tidewatch.core.regions import Region
from tidewatch.core.signing import SigningKey, VerifyKey
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault.fingerprint import fingerprint_database
from tidewatch.vault.layout import region_key

PAGE = (PROJECT / "docs" / "restore-by-hand.md").read_text(encoding="utf-8")
STOCK = ("aws", "age", "age-keygen", "zstd", "openssl", "python3")
VENV = str(PROJECT / ".venv")
ELSEWHERE = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not p.startswith(VENV))
MISSING = [tool for tool in STOCK if shutil.which(tool, path=ELSEWHERE) is None]

pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)} not found: apt-get install awscli age zstd openssl (.ci/run does)",
)


def blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL)


class Desk:
    """An empty directory with the two keys, stock tools, and access to one region."""

    def __init__(self, home: Path, rig: Rig, server: LocalRegion, region: Region, postgres: LocalPostgres):
        self.home, self.region, self.server, self.postgres = home, region, server, postgres
        home.mkdir()
        shutil.copy(rig.keys.identity_file, home / "identity.txt")
        shutil.copy(rig.keys.verify_key_file, home / "signing.pub.pem")

    def holds(self, *keys: VerifyKey) -> None:
        """The signing keys that are in the file."""
        (self.home / "signing.pub.pem").write_bytes(b"".join(key.pem for key in keys))

    def restore(self, source: str, last: str, database: str = "") -> subprocess.CompletedProcess[str]:
        """Every block of the page in one bash; of section 5 only the blocks with the word `last`."""
        places = f"endpoint={self.region.endpoint_url}\nbucket={self.region.config.bucket}\n"
        chosen, filled, *rest = [], *blocks()
        assert filled.startswith("endpoint=")
        values = f"{places}prefix={self.region.config.prefix}\nsource={source}\n"
        steps = [b for b in rest if not re.search(r"\broles\.sql|dump\.pgc|restored\b", b)]
        final = [b for b in rest if b not in steps and re.search(last, b)]
        chosen = [values, *steps, *final]
        directories = {str(Path(str(shutil.which(t, path=ELSEWHERE))).parent) for t in STOCK}
        environment = {
            "PATH": os.pathsep.join([str(self.postgres.bin_dir), "/usr/bin", "/bin", *sorted(directories)]),
            "HOME": str(self.home),
            "LC_ALL": "C",
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.postgres.port),
            "PGUSER": "postgres",
            "PGPASSWORD": self.postgres.password,
            "PGDATABASE": database,
        }
        ours = "python3 -c 'import tidewatch' 2> /dev/null && exit 99\n"
        return subprocess.run(
            ["bash", "-c", ours + "\n".join(chosen)],
            cwd=self.home, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip


@pytest.fixture
def desk(
    tmp_path: Path,
    rig: Rig,
    region_servers: list[LocalRegion],
    three_regions: list[Region],
    pg_server: LocalPostgres,
) -> Desk:
    return Desk(tmp_path / "desk", rig, region_servers[1], three_regions[1], pg_server)


def test_a_database_comes_back_from_one_region(
    rig: Rig, desk: Desk, database: str, pg_server: LocalPostgres
) -> None:
    run_sql(
        database,
        "create table t (id bigint generated always as identity primary key, 文 text)",
        r"insert into t (文) select repeat('潮' || i, 20) || E'\t\n\\' from generate_series(1, 5000) i",
        "create view v as select count(*) from t",
        "select lo_from_bytea(0, decode('00ff5c', 'hex'))",
    )
    outcome = rig.back_up(rig.postgres_source("ops", database))
    assert outcome.verdict == "sealed"
    pg_server.create_database("by_hand")
    try:
        done = desk.restore("ops", r"roles\.sql|dump\.pgc", "by_hand")
        assert done.returncode == 0, done.stderr
        assert "Signature Verified Successfully" in done.stdout
        assert f"{outcome.backup_id} sealed" in done.stdout
        manifest = rig.manifest_in(desk.region, outcome.backup_id)
        assert manifest.encryption.key_ids[0] in done.stdout.splitlines()  # of the key that is held, too
        assert manifest.database is not None
        with connect(pg_server.dsn("by_hand"), application_name="tests", autocommit=True) as conn:
            conn.execute("begin isolation level repeatable read read only")
            found = fingerprint_database(conn)
        assert found.content_sha256 == manifest.database.content_sha256
        assert found.schema_sha256 == manifest.database.schema_sha256
    finally:
        pg_server.drop_database("by_hand")


def tree(root: Path) -> dict[bytes, tuple[Any, ...]]:
    """Every path below `root`: kind, mode, mtime, content or target, and whether it is the first name."""
    found: dict[bytes, tuple[Any, ...]] = {}
    nodes: dict[int, bytes] = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in sorted([*names, *files]):
            path = os.path.join(directory, name)  # noqa: PTH118 - the names are bytes
            about, relative = os.lstat(path), os.path.relpath(path, os.fsencode(root))
            if stat.S_ISLNK(about.st_mode):
                content: object = os.readlink(path)  # noqa: PTH115
                found[relative] = ("link", about.st_mtime_ns, content)
                continue
            content = None
            if stat.S_ISREG(about.st_mode):
                with open(path, "rb") as file:  # noqa: PTH123
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            same = nodes.setdefault(about.st_ino, relative) if about.st_nlink > 1 and content else relative
            found[relative] = (stat.S_IFMT(about.st_mode), stat.S_IMODE(about.st_mode), about.st_mtime_ns,
                               content, same == relative)  # fmt: skip
    return found


def test_files_come_back_from_one_region_with_names_modes_times_and_links(
    rig: Rig, desk: Desk, tmp_path: Path
) -> None:
    root = tmp_path / "media"
    (root / "图片" / "empty directory").mkdir(parents=True)
    (root / "图片" / "a.png").write_bytes(b"picture" * 9000)
    (root / "图片" / "b.png").hardlink_to(root / "图片" / "a.png")
    (root / "link").symlink_to("图片/a.png")
    (root / "dangling").symlink_to("../nowhere")
    (root / "empty").touch(mode=0o600)
    Path(os.fsdecode(os.fsencode(root) + b"/gbk-\xcd\xf8 100%")).write_bytes(b"not UTF-8 in the name")
    source = rig.files_source("media", root)
    assert rig.back_up(source, "run-1").verdict == "sealed"
    (root / 'new\n"line" ').write_bytes(b"of the second day")
    (root / "图片" / "a.png").chmod(0o640)
    (root / "图片").chmod(0o555)
    os.utime(root / "图片", ns=(1, 1_600_000_000_123_456_789))
    assert rig.back_up(source, "run-2").verdict == "sealed"
    done = desk.restore("media", "restored")
    assert done.returncode == 0, done.stderr
    assert tree(desk.home / "restored") == tree(root)
    assert len((desk.home / "objects.txt").read_text().splitlines()) == 2  # one pack is the first backup's


def _changed_in_place(region: Region, key: str) -> None:
    """A new version on top of the locked one, with one bit turned: what somebody with write access can do."""
    data = bytearray(region.store.read(key))
    data[len(data) // 2] ^= 1
    region.store.put(key, bytes(data), if_absent=False)


@pytest.mark.parametrize("role", ["object", "manifest"])
def test_a_changed_bit_ends_it_before_anything_is_restored(
    rig: Rig, desk: Desk, tmp_path: Path, role: str
) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a").write_bytes(b"content")
    outcome = rig.back_up(rig.files_source("media", tmp_path / "media"))
    manifest = rig.manifest_in(desk.region, outcome.backup_id)
    key = manifest.objects[0].key if role == "object" else manifest.path.manifest_key
    _changed_in_place(desk.region, region_key(desk.region.config.prefix, key))
    done = desk.restore("media", "restored")
    assert done.returncode != 0
    assert not (desk.home / "restored").exists()
    if role == "object":
        assert "0-pack-00001.tar.zst.age: FAILED" in done.stdout
    else:
        assert "Signature Verified Successfully" not in done.stdout


def test_another_signing_key_does_not_verify(rig: Rig, desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a").write_bytes(b"content")
    rig.back_up(rig.files_source("media", tmp_path / "media"))
    desk.holds(SigningKey.generate().public)
    done = desk.restore("media", "restored")
    assert done.returncode != 0
    assert not (desk.home / "objects.txt").exists()
    desk.holds(rig.keys.signing_key.public, SigningKey.generate().public)  # after a rotation
    assert desk.restore("media", "restored").returncode == 0
