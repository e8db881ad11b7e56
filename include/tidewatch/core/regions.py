"""Regions: where copies live, under which law and lock. `config/regions.yaml` is read here."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tidewatch.core.config import Strict
from tidewatch.core.connections import Resolver
from tidewatch.core.errors import ConfigError, NotFound, RegionMisconfigured, ResidencyError
from tidewatch.core.objectstore import Address, ObjectStore

_SLUG = r"^[a-z][a-z0-9-]{0,39}$"


class RegionConfig(Strict):
    """One region as config/regions.yaml declares it."""

    name: str = Field(pattern=_SLUG)
    connection: str
    """Airflow connection of type `aws`: login = access key id, password = secret, extra.endpoint_url,
    extra.region_name."""
    bucket: str = Field(min_length=3, max_length=63)
    prefix: str = Field("tidewatch", pattern=r"^[A-Za-z0-9._/-]{1,200}$")
    jurisdiction: str = Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")
    """ISO 3166 code of the country (or country-subdivision) whose law applies to the bucket."""
    provider: str = "s3"
    lock_mode: Literal["COMPLIANCE", "GOVERNANCE"] = "COMPLIANCE"
    lock_days: int = Field(35, ge=1, le=36_500)
    read_back: Literal["full", "checksum"] = "full"
    """`full` downloads and hashes every object again; `checksum` trusts the checksum the store recorded."""
    required: bool = True

    @field_validator("prefix")
    @classmethod
    def _plain_prefix(cls, value: str) -> str:
        if value.startswith("/") or value.endswith("/") or "//" in value or ".." in value.split("/"):
            raise ValueError("a prefix has no slash at either end, no empty part and no '..'")
        return value


class RegionsFile(Strict):
    """config/regions.yaml."""

    policy_id: str = Field(min_length=1)
    policy_version: str = Field(min_length=1)
    residency: dict[str, list[str]]
    """data class -> jurisdictions that may hold it. A class that is not listed may be held nowhere."""
    regions: list[RegionConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> "RegionsFile":
        names = [r.name for r in self.regions]
        if len(set(names)) != len(names):
            raise ValueError("two regions have the same name")
        return self

    def region(self, name: str) -> RegionConfig:
        """Raises NotFound naming the regions there are."""
        for region in self.regions:
            if region.name == name:
                return region
        raise NotFound(
            f"There is no region {name}",
            expected="one of " + ", ".join(r.name for r in self.regions),
            found=name,
            do="correct the name, or add the region to config/regions.yaml",
        )


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
        return ObjectStore(self.name, self.address, self.config.bucket)


def open_regions(file: RegionsFile, resolver: Resolver) -> list[Region]:
    """Every region of the file with its connection resolved.

    Raises MissingConnection, ConfigError, and RegionMisconfigured when two regions are one place: a copy
    beside the copy protects against nothing.
    """
    opened: list[Region] = []
    places: dict[tuple[str, str], str] = {}
    for config in file.regions:
        address = _address(config, resolver)
        place = ((address.endpoint_url or f"aws:{address.region_name}").rstrip("/").lower(), config.bucket)
        if place in places:
            raise RegionMisconfigured(
                f"The regions {places[place]} and {config.name} are the same place",
                expected="an endpoint and bucket of its own for each region",
                found=f"bucket {config.bucket} at {place[0]} twice",
                do="give one of them another bucket or connection in config/regions.yaml",
            )
        places[place] = config.name
        opened.append(Region(config, address))
    return opened


def _address(config: RegionConfig, resolver: Resolver) -> Address:
    connection = resolver(config.connection)
    if not connection.login or not connection.password:
        raise ConfigError(
            f"Connection {config.connection} of region {config.name} is incomplete",
            expected="login (access key id) and password (secret access key)",
            found="no " + ("login" if not connection.login else "password"),
            do=f"complete connection {config.connection}; docs/connections.md has examples",
        )
    endpoint = connection.extra.get("endpoint_url")
    return Address(
        endpoint_url=str(endpoint) if endpoint else None,
        region_name=str(connection.extra.get("region_name") or "us-east-1"),
        access_key=connection.login,
        secret_key=connection.password,
        session_token=connection.extra.get("aws_session_token"),
        verify=connection.extra.get("verify", True),
    )


def check_residency(data_class: str, regions: list[RegionConfig], file: RegionsFile) -> None:
    """Raises ResidencyError unless policy allows `data_class` in every jurisdiction of `regions`."""
    allowed = file.residency.get(data_class)
    if allowed is None:
        raise ResidencyError(
            f"The residency policy says nothing about data class {data_class}",
            expected="one of " + ", ".join(sorted(file.residency)),
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
