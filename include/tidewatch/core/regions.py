"""Regions: where copies live, under which law and lock. `config/regions.yaml` is read here."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from tidewatch.core.bandwidth import BandwidthRule, limiter_of, schedule
from tidewatch.core.config import Strict
from tidewatch.core.connections import Resolver
from tidewatch.core.errors import ConfigError, RegionMisconfigured, ResidencyError
from tidewatch.core.names import named
from tidewatch.core.objectstore import Address, ObjectStore
from tidewatch.core.s3address import s3_address

_SLUG = r"^[a-z][a-z0-9-]{0,39}$"
_JURISDICTION = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"


class RegionConfig(Strict):
    """One region as config/regions.yaml declares it."""

    name: str = Field(pattern=_SLUG)
    connection: str
    """Airflow connection of type `aws`: login = access key id, password = secret, extra.endpoint_url,
    extra.region_name."""
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field("tidewatch", pattern=r"^[A-Za-z0-9._/-]{1,200}$")
    jurisdiction: str = Field(pattern=_JURISDICTION)
    """ISO 3166 code of the country (or country-subdivision) whose law applies to the bucket."""
    provider: str = "s3"
    lock_mode: Literal["COMPLIANCE", "GOVERNANCE"] = "COMPLIANCE"
    lock_days: int = Field(35, ge=1, le=36_500)
    anchor_lock_days: int = Field(400, ge=1, le=36_500)
    """Signed heads of the ledger are tiny and are read at audits: longer than a year by default."""
    read_back: Literal["full", "checksum"] = "full"
    """`full` downloads and hashes every object again; `checksum` trusts the checksum the store recorded."""
    required: bool = True
    bandwidth: tuple[BandwidthRule, ...] = ()
    """Limits by the time of day; outside of them there is none."""
    timezone: str = "UTC"
    """Whose clock the times in `bandwidth` are told by."""

    @field_validator("prefix")
    @classmethod
    def _plain_prefix(cls, value: str) -> str:
        if value.startswith("/") or value.endswith("/") or "//" in value or ".." in value.split("/"):
            raise ValueError("a prefix has no slash at either end, no empty part and no '..'")
        return value

    @model_validator(mode="after")
    def _limits(self) -> "RegionConfig":
        schedule(self.bandwidth, self.timezone)
        return self


class RegionsFile(Strict):
    """config/regions.yaml."""

    policy_id: str = Field(min_length=1)
    policy_version: str = Field(min_length=1)
    residency: dict[str, list[Annotated[str, Field(pattern=_JURISDICTION)]]]
    """data class -> jurisdictions that may hold it. A class that is not listed may be held nowhere. Codes are
    compared as they are: CN does not include CN-HK, which has laws of its own."""
    orphan_grace_hours: int = Field(48, ge=24, le=8760)
    """How long nothing may have been written of an attempt that the catalogue does not know before what it
    left is removed; unfinished uploads are aborted when they are older."""
    regions: list[RegionConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> "RegionsFile":
        names = [r.name for r in self.regions]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"a name of its own for each region; {', '.join(twice)} is there twice")
        return self

    def region(self, name: str) -> RegionConfig:
        """Raises NotFound naming the regions there are."""
        return named(self.regions, name, "region", "config/regions.yaml")


@dataclass(frozen=True)
class Region:
    """A region with its address. `store` opens no connection before the first call."""

    config: RegionConfig
    address: Address = field(repr=False)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def endpoint_url(self) -> str | None:
        return self.address.endpoint_url

    @cached_property
    def store(self) -> ObjectStore:
        limiter = limiter_of(self.name, schedule(self.config.bandwidth, self.config.timezone))
        return ObjectStore(self.name, self.address, self.config.bucket, limiter)


def open_regions(file: RegionsFile, resolver: Resolver, *, strict: bool = True) -> list[Region]:
    """Every region of the file with its connection resolved.

    Raises MissingConnection, ConfigError, and RegionMisconfigured when two regions are one place: a copy
    beside the copy protects against nothing. Without `strict` a region whose connection is missing or wrong
    is opened all the same and raises RegionMisconfigured at each request, as long as another one can be
    opened: a backup goes to the regions that are left.
    """
    opened: list[Region] = []
    places: dict[tuple[str, str], str] = {}
    faults: list[ConfigError] = []
    for config in file.regions:
        try:
            address = s3_address(resolver(config.connection), f"region {config.name}")
        except ConfigError as fault:
            if strict:
                raise
            faults.append(fault)
            opened.append(Region(config, Address(None, "", "", "", fault=fault)))
            continue
        place = (_server(address), config.bucket)
        if place in places:
            raise RegionMisconfigured(
                f"The regions {places[place]} and {config.name} are the same place",
                expected="an endpoint and bucket of its own for each region",
                found=f"bucket {config.bucket} at {place[0]} twice",
                do="give one of them another bucket or connection in config/regions.yaml",
            )
        places[place] = config.name
        opened.append(Region(config, address))
    if len(faults) == len(opened):
        raise faults[0]
    return opened


def _server(address: Address) -> str:
    """What two regions must not share together with the bucket: host and port, whatever the spelling.

    At AWS a bucket name is one bucket in all regions of a partition.
    """
    if address.endpoint_url is None:
        return "AWS China" if address.region_name.startswith("cn-") else "AWS"
    parts = urlsplit(address.endpoint_url)
    host = "127.0.0.1" if parts.hostname in {"localhost", "::1"} else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def check_residency(data_class: str, regions: list[RegionConfig], file: RegionsFile) -> None:
    """Raises ResidencyError unless policy allows `data_class` in every jurisdiction of `regions`."""
    allowed = file.residency.get(data_class)
    if allowed is None:
        raise ResidencyError(
            f"The residency policy says nothing about data class {data_class}",
            expected="one of " + (", ".join(sorted(file.residency)) or "(the policy is empty)"),
            found=data_class,
            do=f"add {data_class} with its jurisdictions under `residency` in config/regions.yaml",
        )
    outside = [f"{r.name} ({r.jurisdiction})" for r in regions if r.jurisdiction not in allowed]
    if outside:
        raise ResidencyError(
            f"The residency policy forbids data class {data_class} in some of its regions",
            expected="jurisdictions " + ", ".join(allowed),
            found=", ".join(outside),
            do="limit the source's `regions` in config/sources.yaml, or change the policy and its version",
        )
