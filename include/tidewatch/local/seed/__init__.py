"""Sample data of a brand that does not exist: an `ops` database and a directory of media."""

from tidewatch.local.seed.media import seed_media
from tidewatch.local.seed.ops import age_ops, seed_ops
from tidewatch.local.seed.report import SeedReport

__all__ = ["SeedReport", "age_ops", "seed_media", "seed_ops"]
