"""Makes the state of the local S3 server survive `kill -9`.

The server keeps object bodies, versions and tags on disk by itself, but locks and bucket settings only in
memory until an orderly shutdown. Here every change of a lock is appended to a journal before the request is
answered (one `write` of a line; measured at about 10 microseconds), and bucket settings, which change rarely,
are saved whole. At start the journal is replayed and rewritten without what was since replaced.
The journal is not fsynced: it survives the death of the process, not of the machine, like the objects do.
"""

import json
import os
from pathlib import Path
from typing import Any

from ministack.core.responses import AccountScopedDict, get_account_id

_GONE = object()


class JournaledDict(AccountScopedDict):  # type: ignore[misc]  # the library is untyped
    """The server's own dictionary type; every change is in the journal before the call returns."""

    __slots__ = ("_journal", "_name")

    def __init__(self, name: str, journal: "Journal") -> None:
        super().__init__()
        self._name = name
        self._journal = journal

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self._journal.append(self._name, get_account_id(), key, value)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._journal.append(self._name, get_account_id(), key, None)

    def pop(self, key: Any, *default: Any) -> Any:
        held = super().pop(key, _GONE)
        if held is not _GONE:
            self._journal.append(self._name, get_account_id(), key, None)
            return held
        if default:
            return default[0]
        raise KeyError(key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, other: Any) -> None:
        raise NotImplementedError("the server never does this to locks; it would pass the journal by")

    clear = set_scoped = pop_scoped = update


class Journal:
    """Append-only file of JSON lines `[store, account, key, value]`; value null means removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def append(self, store: str, account: str, key: Any, value: Any) -> None:
        line = json.dumps([store, account, list(key), value], separators=(",", ":")) + "\n"
        os.write(self._descriptor, line.encode())

    def open(self, stores: dict[str, JournaledDict]) -> None:
        """Replay into the stores, rewrite without what was replaced, and stand ready to append."""
        for store, account, key, value in self._lines():
            data = stores[store]._data
            if value is None:
                data.pop((account, tuple(key)), None)
            else:
                data[(account, tuple(key))] = value
        compact = self._path.with_suffix(".new")
        with compact.open("w", encoding="utf-8") as file:
            for name, held in stores.items():
                for (account, key), value in held._data.items():
                    file.write(json.dumps([name, account, list(key), value], separators=(",", ":")) + "\n")
        compact.replace(self._path)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)

    def _lines(self) -> list[list[Any]]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        lines = text.split("\n")
        # Without its newline the last line was cut off by a kill: that request was never answered.
        return [json.loads(line) for line in lines[:-1] if line]


def drop_unanswered_writes(data_dir: Path) -> int:
    """Remove bodies without description: their writer was killed between the two, unanswered.

    Left alone they would come back as objects without a version. Returns how many.
    """
    dropped = 0
    versions = data_dir / ".versions"
    for path in [p for p in data_dir.rglob("*") if p.is_file()]:
        if path.suffix == ".tmp" or (
            not path.name.endswith(".meta.json")
            and versions not in path.parents
            and not path.with_name(path.name + ".meta.json").exists()
        ):
            path.unlink()
            dropped += 1
    return dropped
