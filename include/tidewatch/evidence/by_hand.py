"""Closing a finding by a person's word, where a word is enough."""

from datetime import datetime

from tidewatch.core.config import read_yaml
from tidewatch.core.database import Connection
from tidewatch.core.errors import TidewatchError
from tidewatch.core.regions import RegionsFile
from tidewatch.core.settings import Settings
from tidewatch.core.sources import SourcesFile
from tidewatch.evidence.findings import Finding, close_finding, held_open
from tidewatch.evidence.ledger import transaction

_TESTED = "restore."
"""Findings of this kind are what a restore test found; the next one can show that they are gone."""


class ProofNeeded(TidewatchError):
    """Only a later test may close this finding."""


def needs_proof(settings: Settings, *, kind: str, source: str | None, region: str | None) -> bool:
    """Whether a restore test will come back to what the finding is about, and has to close it.

    It will not where the source or the region was given up: such a finding a person closes.
    Raises ConfigError.
    """
    if not kind.startswith(_TESTED):
        return False
    sources = {s.name for s in read_yaml(settings.config_dir / "sources.yaml", SourcesFile).sources}
    regions = {r.name for r in read_yaml(settings.config_dir / "regions.yaml", RegionsFile).regions}
    return source in {*sources, None} and region in {*regions, None}


def close_by_hand(
    conn: Connection,
    settings: Settings,
    key: str,
    *,
    by: str,
    why: str,
    now: datetime,
    finding_id: int | None = None,
) -> Finding | None:
    """`close_finding` by a person; with `finding_id` only that one, should the key be open again as another.

    Raises ProofNeeded, ConfigError, LedgerError, LedgerBusy.
    """
    with transaction(conn):
        known = held_open(conn, key)
        if known is None or (finding_id is not None and known.finding_id != finding_id):
            return None
        if needs_proof(settings, kind=known.kind, source=known.source, region=known.region):
            raise ProofNeeded(
                f"The finding {known.key!r} is not closed by a person's word",
                expected="a later restore test that passes: it closes the finding itself",
                found=f"a finding of a restore test; {known.source} and {known.region} are still tested",
                do=f"find out why, then run `tidewatch restores test --source {known.source}`; a source or "
                "region that was given up is first taken out of config/",
            )
        return close_finding(conn, known.key, by=by, why=why, now=now)
