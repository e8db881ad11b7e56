"""Great Expectations sends nothing, writes nothing of its own and does not chatter."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, logging, os, pathlib, socket, sys
logging.basicConfig(level=logging.INFO)
calls = []

def refuse(name):
    def refused(*args, **kwargs):
        calls.append(f"{name} {args[1:]}")
        raise OSError("no network in this test")
    return refused

socket.socket.connect = refuse("connect")
socket.socket.connect_ex = refuse("connect_ex")
socket.socket.sendto = refuse("sendto")
socket.getaddrinfo = refuse("getaddrinfo")
os.environ.pop("GX_ANALYTICS_ENABLED", None)

import datetime
import pandas as pd
from tidewatch.core.database import connect
from tidewatch.quality.gate import Gate
from tidewatch.quality.run import SqlBatch, Where, judge

dsn = os.environ["DSN"]  # libpq opens its own sockets: the guard above does not see them
rule = {"type": "expect_column_values_to_not_be_null", "column": "n"}
gate = Gate.model_validate({"gate": "g", "description": "d", "batches":
    {"frame": {"expectations": [rule]}, "query": {"expectations": [rule]}}})
with connect(dsn, application_name="tests") as conn:
    judgement = judge(gate, {"frame": pd.DataFrame({"n": [1]}), "query": SqlBatch(dsn, "select 1 as n")},
        where=Where("d", "r", "s"), conn=conn, now=datetime.datetime.now(datetime.UTC),
        gx_dir=pathlib.Path("gx"), docs_dir=pathlib.Path("docs"))
print(json.dumps({"calls": calls, "passed": judgement.passed, "env": os.environ["GX_ANALYTICS_ENABLED"]}))
"""


def test_a_judgement_opens_no_connection_prints_nothing_and_leaves_no_file_of_its_own(
    warehouse: str, tmp_path: Path
) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    # What a machine may have set for another project must not lead Great Expectations elsewhere.
    hostile = {"GX_CLOUD_ACCESS_TOKEN": "x", "GX_CLOUD_ORGANIZATION_ID": "y", "GX_HOME": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=work,
        env={**os.environ, **hostile, "HOME": str(home), "TMPDIR": str(home), "DSN": warehouse},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"calls": [], "passed": True, "env": "false"}
    assert done.stderr == ""
    assert {p.name for p in work.iterdir()} == {"docs", "gx"}
    assert list(home.iterdir()) == []
