"""A backup of a database as a database.

Definitions first, from the head of the archive; rows while they are decrypted, several tables at once; then
what needs the rows to be there: indexes, constraints, triggers, for which the head alone is enough again.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tidewatch.core.database import Connection, describe
from tidewatch.core.errors import ConfigError
from tidewatch.restore.choose import Chosen
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.fetch import Fetched, FetchedObject
from tidewatch.restore.opening import open_into, opened
from tidewatch.restore.pgrestore import PgRestore
from tidewatch.restore.roles import drop_roles, restore_roles
from tidewatch.restore.rows import RowLoader
from tidewatch.restore.select import entries_of
from tidewatch.restore.target_database import (
    Server,
    Target,
    create_temporary,
    drop_temporary,
    held,
    publish,
    require_fit,
)
from tidewatch.restore.toc import Entry, Head, read_head
from tidewatch.vault.envelope import Identities
from tidewatch.vault.pgtools import PgTools, find_tools

JOBS = 2
AHEAD = 4 << 30
"""Bytes of rows that may wait on the disk of the work directory, decrypted, in files without a name."""
_OPTIONS = re.compile(r"\bWITH TEMPLATE = .*?(?=;\s*$)", re.DOTALL)
_TABLESPACE = re.compile(r" TABLESPACE = (?:\"(?:[^\"]|\"\")+\"|\S+)$")


_LIBC = " LOCALE_PROVIDER = libc"


@dataclass(frozen=True)
class Loaded:
    """What was done. `seconds`: decrypt is CPU time of the opening, load all the rest. `kept`: the name under
    which a database that was replaced still is."""

    seconds: dict[str, float]
    roles: tuple[str, ...]
    remarks: tuple[str, ...]
    kept: str | None = None


def load(
    ctx: RestoreContext,
    chosen: Chosen,
    fetched: Fetched,
    target_dsn: str,
    *,
    workdir: Path,
    tables: Sequence[str] = (),
    jobs: int = JOBS,
    replace: bool = False,
) -> Loaded:
    """Make the database that `target_dsn` names: it is absent or empty, with `replace` it may have content,
    which is kept under another name. With `tables` (`schema.name`) only these, with what they need.

    Roles that the server lacks are made first. Killed at any point, the same call starts anew. Raises
    TargetError's family, ConfigError, IntegrityError, ToolMissing, Busy; the target is as it was then.
    """
    began = time.monotonic()
    target, identities = Target(target_dsn), ctx.identities_for(chosen.manifest)
    server, remarks = require_fit(target, chosen.manifest, replace=replace)
    made = re.match(r"\d+", chosen.manifest.tools.get("pg_dump", "0"))
    tools = find_tools(ctx.settings.pg_bin_dir, max(server.major, int(made[0]) if made else 0))
    [dump], roles = fetched.by_role("dump"), fetched.by_role("roles")
    with (
        held(target) as conn,
        tempfile.TemporaryDirectory(prefix="load-", dir=workdir, ignore_cleanup_errors=True) as directory,
    ):
        new_roles = _roles(conn, roles, identities, server)
        work = _Load(ctx, tools, server, target, Path(directory), jobs)
        try:
            decrypting = work.run(conn, dump, identities, tables)
            kept = publish(conn, target, stamp=f"{ctx.now():%Y%m%d%H%M%S}")
        except BaseException:
            drop_temporary(conn, target)
            drop_roles(conn, new_roles)
            raise
    remarks += work.remarks
    if kept is not None:
        remarks.append(f"what was {target.name} before is now {kept}; drop it when it is not needed")
    seconds = time.monotonic() - began
    ctx.progress(f"{chosen.backup_id}: loaded into {describe(target_dsn)} in {seconds:.1f} s")
    return Loaded(
        {"decrypt": decrypting, "load": max(0.0, seconds - decrypting)},
        tuple(new_roles),
        tuple(remarks),
        kept,
    )


def _roles(
    conn: Connection, roles: Sequence[FetchedObject], identities: Identities, server: Server
) -> list[str]:
    made: list[str] = []
    for script in roles:
        text: list[bytes] = []
        open_into(script, identities, text.append)
        made += restore_roles(conn, b"".join(text).decode("utf-8", "surrogateescape"), server.roles)
    return made


class _Load:
    """One loading into the temporary database."""

    def __init__(
        self, ctx: RestoreContext, tools: PgTools, server: Server, target: Target, directory: Path, jobs: int
    ) -> None:
        self._ctx, self._tools, self._server, self._target = ctx, tools, server, target
        self._directory, self._jobs = directory, jobs
        self._arguments: list[str] = []
        self.remarks: list[str] = []

    def run(
        self, conn: Connection, dump: FetchedObject, identities: Identities, tables: Sequence[str]
    ) -> float:
        """Returns the CPU seconds of decrypting."""
        free = shutil.disk_usage(self._directory).free
        with opened(dump, identities, hashed=False) as plain:
            head, rest = read_head(plain.stream)
            wanted = entries_of(head, tables)
            file = self._directory / "head"
            file.write_bytes(head.raw)
            self._without_tablespaces(wanted)
            dsn = create_temporary(conn, self._target, self._options(head))
            self._say("definitions")
            first = [e for e in wanted if e.section == "pre-data" and not _of_large_objects(e)]
            self._section(dsn, first, file)
            self._say("rows")
            rows = RowLoader(
                self._tools,
                dsn,
                self._directory,
                server_major=self._server.major,
                jobs=self._jobs,
                ahead=max(1 << 28, min(AHEAD, free // 2)),
            )
            blocks = {e.number for e in wanted if e.has_block}
            tables_made = {e.number for e in first if e.kind == "TABLE"}
            done = rows.load(
                head.into_new(tables_made), rest, plain.stream, blocks, total=dump.entry.plain_size
            )
        # From here on the bytes are known to be all there and those of the manifest.
        late = [e for e in wanted if (e.section == "data" and e.number not in done) or _of_large_objects(e)]
        self._section(dsn, late, file)
        self._say("indexes and constraints")
        self._section(dsn, [e for e in wanted if e.section == "post-data"], file, jobs=self._jobs)
        if not tables:
            self._properties(dsn, head)
        return plain.seconds

    def _say(self, what: str) -> None:
        self._ctx.progress(f"{self._target.name}: {what}")

    def _section(self, dsn: str, entries: Sequence[Entry], head: Path, *, jobs: int = 1) -> None:
        if not entries:
            return
        loader = PgRestore(
            self._tools,
            dsn,
            [*self._arguments, *([f"--jobs={jobs}"] if jobs > 1 else [])],
            server_major=self._server.major,
            only=[e.number for e in entries],
            listing=self._directory / "list",
            archive=head,
        )
        try:
            loader.finish()
        finally:
            loader.kill()

    def _without_tablespaces(self, entries: Sequence[Entry]) -> None:
        lacking = sorted({e.tablespace for e in entries if e.tablespace} - self._server.tablespaces)
        if lacking:
            self._arguments.append("--no-tablespaces")
            self.remarks.append(
                f"the target has no tablespace {', '.join(lacking)}: everything lies in its default one"
            )

    def _options(self, head: Head) -> str:
        """Encoding, locale and the rest, as pg_dump wrote them for the database."""
        for entry in head.of_kind("DATABASE"):
            if found := _OPTIONS.search(entry.definition):
                options = _TABLESPACE.sub("", found[0]) if self._arguments else found[0]
                # Servers before 15 know no other provider, and not the word.
                return options if self._server.major >= 15 else options.replace(_LIBC, "")
        raise ConfigError(
            "The archive does not say how its database is made",
            expected="an entry DATABASE, as `pg_dump --create` writes it",
            found="none",
            do="open it with stock tools (docs/restore-by-hand.md)",
        )

    def _properties(self, dsn: str, head: Head) -> None:
        """Settings, privileges and comments of the database itself, which pg_restore gives only to one of the
        same name. One that cannot be set is told, and ends nothing."""
        mine = [
            e for e in head.entries
            if e.kind == "DATABASE PROPERTIES"
            or (e.kind in ("ACL", "COMMENT", "SECURITY LABEL") and e.tag.startswith("DATABASE "))
        ]  # fmt: skip
        new = sql.Identifier(self._target.temporary)
        with psycopg.connect(dsn, autocommit=True) as conn:
            # As pg_dump wrote it: in quotes or not.
            quoted = sql.Identifier(head.database).as_string(conn)
            old = re.compile(rf"(?<=DATABASE )(?:{re.escape(quoted)}|{re.escape(head.database)})(?=[ ;])")
            texts = [old.sub(lambda _: new.as_string(conn), e.definition) for e in mine]
            owners = [e.owner for e in head.of_kind("DATABASE") if e.owner]
            texts += [
                sql.SQL("alter database {} owner to {}").format(new, sql.Identifier(owner)).as_string(conn)
                for owner in owners
            ]
            for encoding in head.of_kind("ENCODING"):
                conn.execute(encoding.definition.encode())
            for text in texts:
                try:
                    conn.execute(text.encode("utf-8", "surrogateescape"))
                except psycopg.Error as error:
                    said = error.diag.message_primary or type(error).__name__
                    self.remarks.append(f"a setting of the database itself could not be made: {said}")


def _of_large_objects(entry: Entry) -> bool:
    """Privileges, comments and labels of large objects: those of 17 and newer are made with their data."""
    return entry.kind in ("ACL", "COMMENT", "SECURITY LABEL") and entry.tag.startswith("LARGE OBJECT")
