"""How every command begins and ends: exit codes, environment, interrupts, pipes, secrets."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import typer
from cli_desk import WAREHOUSE, Desk, postgres_connection

from tidewatch.cli import app, main
from tidewatch.core.database import connect
from tidewatch.evidence import ledger

SECRET = "s3cr3t-p4ssw0rd"


def _commands(command: object = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every group and command there is."""
    command = command or typer.main.get_command(app)
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


def _records(desk: Desk, count: int) -> None:
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        for n in range(count):
            ledger.append(conn, kind="test.fact", subject="s", body={"n": n}, now=datetime.now(UTC))


# -- help and use ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(_commands()), ids=" ".join)
def test_every_command_explains_itself_and_cuts_nothing_off(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert not re.search(r"\w\.\.\.$", shown, re.MULTILINE), shown
    listed = shown.partition("Commands:\n")[2]
    assert all(len(line.split(maxsplit=1)[1]) <= 45 for line in listed.splitlines() if line.strip())


def test_the_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if re.match(r" +\d  \w", line)] == list("0123")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["backup"],
        ["no-such"],
        ["backup", "list", "--no-such"],
        ["backup", "list", "-n", "many"],
        ["backup", "list", "-n", "0"],
        ["backup", "show"],
        ["ledger", "list", "--since", "0"],
        ["keys", "create", "--dir", "x"],
    ],
)
def test_wrong_use_is_2_and_leaves_stdout_to_answers(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and "Usage:" in shown.err


# -- the database ------------------------------------------------------------------------------------------


def test_an_empty_database_is_migrated_once(desk: Desk, database: str) -> None:
    desk.set(**{WAREHOUSE: postgres_connection(database)})
    lacking = desk("backup", "list")
    assert (lacking.code, lacking.out) == (3, "") and "`tidewatch db migrate`" in lacking.err
    assert "Traceback" not in lacking.err
    first = desk("db", "migrate")
    assert first.code == 0 and "applied 0002_evidence.sql\n" in first.out
    second = desk("db", "migrate")
    assert (second.code, second.out) == (0, "nothing to do\n")
    assert desk("backup", "list").code == 0


def test_a_missing_connection_is_not_done_and_named(desk: Desk) -> None:
    desk.set(**{WAREHOUSE: None})
    for arguments in (["backup", "list", "--json"], ["ledger", "verify"], ["db", "migrate"]):
        said = desk(*arguments)
        assert (said.code, said.out) == (3, "") and WAREHOUSE in said.err


def test_a_wrong_password_is_not_done_and_shown_nowhere(desk: Desk) -> None:
    for connection in (
        postgres_connection(desk.rig.warehouse, password=SECRET),
        _uri(desk.rig.warehouse, SECRET),
        '{"conn_type": "postgres", "password": "' + SECRET,
    ):
        desk.set(**{WAREHOUSE: connection})
        for said in (desk("backup", "list", "--json"), desk.process("ledger", "verify")):
            assert said.code == 3 and "What to do" in said.err
            assert SECRET not in said.out + said.err


def _uri(dsn: str, password: str) -> str:
    fields = psycopg.conninfo.conninfo_to_dict(dsn)
    return f"postgres://{fields['user']}:{password}@{fields['host']}:{fields['port']}/{fields['dbname']}"


def test_a_role_without_rights_is_told_so(desk: Desk) -> None:
    role = f"r_{os.urandom(5).hex()}"
    with psycopg.connect(desk.rig.warehouse, autocommit=True) as conn:
        conn.execute(f"create role {role} login password '{SECRET}'".encode())
        try:
            desk.set(**{WAREHOUSE: postgres_connection(desk.rig.warehouse, login=role, password=SECRET)})
            said = desk("backup", "list")
        finally:
            conn.execute(f"drop role {role}".encode())
    assert (said.code, said.out) == (3, "") and "permission denied" in said.err
    assert SECRET not in said.err and "Traceback" not in said.err


def test_a_server_that_ends_the_session_is_told_so(desk: Desk) -> None:
    with psycopg.connect(desk.rig.warehouse) as holder:
        holder.execute("lock table evidence.ledger in access exclusive mode")
        running = desk.start("ledger", "verify")
        row = None
        while row is None:
            assert running.poll() is None, running.communicate()
            row = holder.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity, pg_sleep(0.05) "
                "where application_name = 'tidewatch cli' and datname = current_database() "
                "and wait_event_type = 'Lock'"
            ).fetchone()
            holder.execute("select pg_stat_clear_snapshot()")
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (3, "") and "Traceback" not in err and "What to do" in err


def test_hostile_text_in_an_error_is_text(desk: Desk) -> None:
    desk.set(**{WAREHOUSE: postgres_connection(desk.rig.warehouse, schema="[red]x\x1b[31m\n\u202edb")})
    said = desk("backup", "list")
    assert said.code == 3 and r"[red]x\x1b[31m" in said.err
    assert not {"\x1b", "\u202e"} & set(said.err) and said.err.count("\n") == 1


# -- the environment ---------------------------------------------------------------------------------------


def _stack(desk: Desk, **variables: str) -> None:
    """The file that `make up` writes."""
    home = Path(desk.variables["TIDEWATCH_HOME"])
    home.mkdir(exist_ok=True)
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    (home / "env").write_text("# `. .tidewatch/env` ... don't mind\n" + "".join(lines))


def test_the_local_stack_is_found_and_what_the_caller_says_goes_before_it(desk: Desk) -> None:
    good = desk.variables[WAREHOUSE]
    _stack(desk, **{WAREHOUSE: good})
    desk.set(**{WAREHOUSE: None})
    assert desk.process("backup", "list").code == 0
    own = desk.process("backup", "list", **{WAREHOUSE: postgres_connection(desk.rig.warehouse, schema="nil")})
    assert own.code == 3 and "/nil" in own.err


def test_values_of_the_stack_are_read_as_a_shell_reads_them(desk: Desk) -> None:
    odd = 'o\'neil "$HOME" \\ # `x`\nnext'
    _stack(desk, **{WAREHOUSE: postgres_connection(desk.rig.warehouse, schema=odd)})
    desk.set(**{WAREHOUSE: None})
    said = desk.process("backup", "list")
    assert said.code == 3 and 'o\'neil "$HOME" \\ # `x`\\nnext' in said.err


def test_a_callers_connections_file_is_not_overruled_by_the_stack(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "connections.json"
    file.write_text(json.dumps({"tidewatch_warehouse": json.loads(desk.variables[WAREHOUSE])}))
    _stack(desk, **{WAREHOUSE: postgres_connection(desk.rig.warehouse, schema="nil")})
    desk.set(**{WAREHOUSE: None})
    assert desk.process("backup", "list").code == 3
    assert desk.process("backup", "list", TIDEWATCH_CONNECTIONS_FILE=str(file)).code == 0


def test_a_stack_file_that_cannot_be_read_is_named_without_its_content(desk: Desk) -> None:
    _stack(desk)
    file = Path(desk.variables["TIDEWATCH_HOME"]) / "env"
    file.write_text(f"export X='{SECRET}\n")
    said = desk.process("backup", "list")
    assert (said.code, said.out) == (3, "") and str(file) in said.err
    assert SECRET not in said.err and "Traceback" not in said.err


def test_a_wrong_setting_is_told_without_a_traceback(desk: Desk) -> None:
    said = desk.process("backup", "list", TIDEWATCH_HOME="~nobody-of-that-name/x")
    assert (said.code, said.out) == (3, "") and "TIDEWATCH_" in said.err and "Traceback" not in said.err


# -- interrupts, pipes, defects ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("ledger", "verify"), ("ledger", "list", "--output", "out.jsonl")])
def test_ctrl_c_ends_with_3_and_without_a_traceback(desk: Desk, command: tuple[str, ...]) -> None:
    said = desk.interrupted_at_the_ledger(*command)
    assert (said.code, said.out) == (3, "")
    assert "Stopped" in said.err and "Traceback" not in said.err
    assert not list(desk.home.glob("*out.jsonl*"))


@pytest.mark.parametrize(
    "command",
    [("ledger", "list"), ("backup", "list"), ("backup", "list", "--json"), ("ledger", "verify"), ("--help",)],
    ids=" ".join,
)
def test_a_reader_that_has_gone_is_no_traceback(backed_up: Desk, command: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    running = backed_up.start(*command, stdout=write)
    os.close(write)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (3, "")


def test_a_reader_that_takes_one_line_gets_it(desk: Desk) -> None:
    _records(desk, 500)  # more than a pipe holds
    running = desk.start("ledger", "list")
    assert running.stdout and running.stderr
    first = running.stdout.readline()
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=60) == 3 and err == ""
    assert json.loads(first)["seq"] == 1


def test_a_defect_is_not_taken_for_an_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"postgres://tidewatch:{SECRET}@db/x")

    monkeypatch.setattr("tidewatch.cli.ledger.verify_ledger", broken)
    said = desk("ledger", "verify")
    assert (said.code, said.out) == (3, "")
    assert "RuntimeError" in said.err and "report" in said.err and SECRET not in said.err
