"""Digests of definitions: one SHA-256 for each object of the schema, each grant, each role.

The statements in sql/vault/schema/, grants/ and roles/ give rows (kind, identity, definition jsonb). Only
digests are kept: enough to name the first object that differs, and nothing that a definition may say leaves
the database.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tidewatch.core.canonical import digest
from tidewatch.core.database import Connection, execute
from tidewatch.vault.facts import Extension, ObjectDigests, Sha256
from tidewatch.vault.wording import levelled

_SCHEMA = (
    "columns",
    "comments",
    "constraints",
    "foreign",
    "functions",
    "indexes",
    "operators",
    "others",
    "policies",
    "replication",
    "sequences",
    "tables",
    "text_search",
    "triggers",
    "types",
    "views",
)
_GRANTS = ("grants", "default_privileges")
_ROLES = ("roles", "memberships")


def schema_digests(conn: Connection) -> tuple[dict[str, ObjectDigests], Sha256]:
    """kind of object -> digests of all its objects, and one digest over all kinds."""
    kinds: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for name in _SCHEMA:
        for row in execute(conn, f"vault/schema/{name}"):
            worded = row["definition"] if row["kind"] == "comment" else levelled(row["definition"])
            kinds[row["kind"]][row["identity"]].append(worded)
    digests = {kind: _digests(kinds[kind]) for kind in sorted(kinds)}
    return digests, digest({kind: d.sha256 for kind, d in digests.items()})


def grant_digests(conn: Connection) -> ObjectDigests:
    """`<kind> <identity>` -> digest of owner and privileges, and the default privileges. A privilege list
    that was never touched counts as the default it stands for."""
    return _collected(conn, "vault/grants", _GRANTS)


def role_digests(conn: Connection) -> ObjectDigests:
    """Roles (attributes, settings, no passwords) and memberships of the cluster, without pg_* roles."""
    return _collected(conn, "vault/roles", _ROLES)


def extensions(conn: Connection) -> list[Extension]:
    """Installed extensions by name."""
    found = [Extension(**row) for row in execute(conn, "vault/extensions")]
    return sorted(found, key=lambda e: e.name)


def _collected(conn: Connection, folder: str, names: Iterable[str]) -> ObjectDigests:
    objects: dict[str, list[Any]] = defaultdict(list)
    for name in names:
        for row in execute(conn, f"{folder}/{name}"):
            objects[f"{row['kind']} {row['identity']}"].append(row["definition"])
    return _digests(objects)


def _digests(objects: Mapping[str, list[Any]]) -> ObjectDigests:
    # Two objects of one identity (possible for comments on odd objects) share a digest, in a fixed order.
    each = {
        identity: digest(definitions[0])
        if len(definitions) == 1
        else digest(sorted(map(digest, definitions)))
        for identity, definitions in sorted(objects.items())
    }
    return ObjectDigests(sha256=digest(each), objects=each)
