"""Create the bucket of every region of config/regions.yaml with object lock; check those that are there.

Runs once in the `init` container with credentials that may create buckets; the workers' may not. A bucket
without versioning or object lock ends it with an error: not every store can add the lock to a bucket later.
"""

import sys

from tidewatch.core.config import read_yaml
from tidewatch.core.connections import from_environment
from tidewatch.core.errors import RegionMisconfigured, TidewatchError
from tidewatch.core.regions import Region, RegionsFile, open_regions
from tidewatch.core.settings import load_settings


def main() -> int:
    """Exit code 0 when every region can hold locked backups, else 3 with the reason."""
    try:
        file = read_yaml(load_settings().config_dir / "regions.yaml", RegionsFile)
        for region in open_regions(file, from_environment):
            prepare(region)
            print(f"{region.name}: bucket {region.config.bucket} is there, with versioning and object lock")
    except TidewatchError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


def prepare(region: Region) -> None:
    """Raises RegionMisconfigured when the bucket exists but cannot lock what is put into it."""
    region.store.ensure_bucket()
    facts = region.store.describe()
    if not (facts.versioning and facts.object_lock):
        raise RegionMisconfigured(
            f"The bucket {region.config.bucket} of region {region.name} cannot hold backups",
            expected="versioning and object lock",
            found=f"versioning {_word(facts.versioning)}, object lock {_word(facts.object_lock)}",
            do="name another bucket in config/regions.yaml, or create this one anew with object lock",
        )


def _word(enabled: bool) -> str:
    return "on" if enabled else "off"


if __name__ == "__main__":
    sys.exit(main())
