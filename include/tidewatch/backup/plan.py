"""What goes where, decided before anything is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.core.regions import Region, RegionsFile, check_residency
from tidewatch.core.sources import FilesSource, PostgresSource, SourcesFile


@dataclass(frozen=True)
class PlannedSource:
    """A source with the regions its copies go to, in the order of config/regions.yaml."""

    source: PostgresSource | FilesSource
    regions: tuple[Region, ...]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the regions without which a backup is not sealed."""
        return tuple(r.name for r in self.regions if r.config.required)


def plan(sources: SourcesFile, file: RegionsFile, regions: Sequence[Region]) -> list[PlannedSource]:
    """Every source with its regions.

    Raises NotFound for a region nobody declared, ConfigError when a source has no required region, and
    ResidencyError when policy does not allow the source's data class in one of its regions. One forbidden
    source stops the plan of all: a policy that is broken in one place is not trusted in another.
    """
    return [plan_source(source, file, regions) for source in sources.sources]


def plan_source(
    source: PostgresSource | FilesSource, file: RegionsFile, regions: Sequence[Region]
) -> PlannedSource:
    """The plan of one source; the errors of `plan`."""
    opened = {r.name: r for r in regions}
    wanted = source.regions if source.regions is not None else [r.name for r in file.regions]
    unknown = [name for name in wanted if name not in opened]
    if unknown:
        raise NotFound(
            f"Source {source.name} names regions that do not exist",
            expected="names from config/regions.yaml: " + ", ".join(sorted(opened)),
            found=", ".join(unknown),
            do=f"correct `regions` of {source.name} in config/sources.yaml",
        )
    planned = PlannedSource(source, tuple(r for r in regions if r.name in wanted))
    if not planned.required:
        raise ConfigError(
            f"Source {source.name} has no required region",
            expected="at least one region with `required: true`",
            found=", ".join(wanted) or "no region at all",
            do=f"give {source.name} a required region in config/sources.yaml or config/regions.yaml",
        )
    check_residency(source.data_class, [r.config for r in planned.regions], file)
    return planned
