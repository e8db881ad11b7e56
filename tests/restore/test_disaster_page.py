"""The commands of docs/runbooks/disaster.md, from the second region alone, on a server and in a clone that
know nothing of what was."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from backup_rig import PROJECT, UNUSED
from drill_rig import Shop
from plain_restore import look
from restore_desk import compared, context, databases, newest

from tidewatch.local.postgres import LocalPostgres

PAGE = (PROJECT / "docs" / "runbooks" / "disaster.md").read_text(encoding="utf-8")


@pytest.fixture
def new_server(stack_home: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(stack_home / "pg-new", fsync=False)
    server.start()
    yield server
    server.destroy()


@pytest.fixture
def clone(tmp_path: Path, shop: Shop) -> Path:
    """The repository with the configuration of this installation, and the two key files; nothing else."""
    place = tmp_path / "clone"
    for part in ("include", "sql", "config"):
        shutil.copytree(PROJECT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    rig = shop.rig
    (place / "config" / "regions.yaml").write_text(yaml.safe_dump(rig.regions_file.model_dump(mode="json")))
    (place / "config" / "sources.yaml").write_text(yaml.safe_dump({"sources": rig.sources or [UNUSED]}))
    shutil.copy(rig.keys.identity_file, place / "identity.txt")
    shutil.copy(rig.keys.verify_key_file, place / "signing.pub.pem")
    return place


def filled_in(shop: Shop, server: LocalPostgres) -> str:
    """The block in which a person fills in where things are."""
    region = shop.rig.regions[1]
    address = region.address
    store = {
        "conn_type": "aws",
        "login": address.access_key,
        "password": address.secret_key,
        "extra": {"endpoint_url": address.endpoint_url, "region_name": address.region_name},
    }

    def database(name: str) -> str:
        fields = {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": server.port,
            "login": "postgres",
            "password": server.password,
            "schema": name,
        }
        return json.dumps(fields)

    return f"""
region={region.name}
databases=shop
files=pictures
export TIDEWATCH_IDENTITY_FILE=$PWD/identity.txt
export TIDEWATCH_VERIFY_KEY_FILE=$PWD/signing.pub.pem
export AIRFLOW_CONN_{region.config.connection.upper()}='{json.dumps(store)}'
export AIRFLOW_CONN_TIDEWATCH_RESTORE='{database("postgres")}'
export AIRFLOW_CONN_TIDEWATCH_WAREHOUSE='{database("tidewatch")}'
"""


def test_one_region_and_the_private_key_bring_back_everything(
    shop: Shop, clone: Path, new_server: LocalPostgres, tmp_path: Path
) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL)
    assert [b for b in blocks if "export AIRFLOW_CONN_TIDEWATCH_RESTORE" in b] == [blocks[0]]
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "tidewatch").write_text(f'#!/bin/sh\nexec {sys.executable} -m tidewatch.cli "$@"\n')
    (tools / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", "\n".join([filled_in(shop, new_server), *blocks[1:]])],
        cwd=clone,
        env={
            "PATH": os.pathsep.join([str(tools), str(new_server.bin_dir), "/usr/bin", "/bin"]),
            "HOME": str(tmp_path),
            "PYTHONPATH": str(clone / "include"),
            "TIDEWATCH_PROJECT": str(clone),
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("this restore is not in the ledger, since there is no warehouse") == 2
    assert shop.rig.keys.identity not in done.stdout + done.stderr
    chosen = newest(context(shop.rig), "shop", 1)
    found = compared(chosen, new_server.dsn("shop"))
    assert found.equal, found.sentence()
    assert look(clone / ".tidewatch" / "restored" / "pictures") == look(shop.rig.home / "pictures")
    listed = done.stdout[done.stdout.rindex("backup ") :]
    assert all(backup_id in listed for backup_id in (shop.older, shop.latest, shop.pictures))
    assert databases(new_server) >= {"shop", "tidewatch"}
    assert not [name for name in databases(new_server) if "__restoring" in name]
