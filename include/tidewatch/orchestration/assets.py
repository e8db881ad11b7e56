"""The assets that Dags publish and later Dags follow."""

from airflow.sdk import Asset, AssetAlias

BACKUPS = AssetAlias("backups")
"""Resolved at run time to one `backup.<source>` for each source that was backed up."""


def backup_asset(source: str) -> Asset:
    """`backup.<source>`: there is a new backup of `source`; its event carries the backup id and verdict."""
    return Asset(name=f"backup.{source}", uri=f"tidewatch://backup/{source}", group="backup")


CHAMPION = Asset(name="sentiment.champion", uri="tidewatch://sentiment/champion", group="sentiment")
"""Another version of the model scores from now on; the event's extra has `act`, `version`, `instead_of`,
`model_sha256` and `ledger_seq`. May be told twice: what counts is in the registry."""
