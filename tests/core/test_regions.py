"""Regions are places of their own, under a law that allows what they hold."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from tidewatch.core.connections import Connection
from tidewatch.core.errors import ConfigError, NotFound, RegionMisconfigured, ResidencyError
from tidewatch.core.regions import Region, RegionConfig, RegionsFile, check_residency, open_regions


def config(name: str = "cn-east", **changes: Any) -> RegionConfig:
    values = {
        "name": name,
        "connection": f"c_{name}",
        "bucket": f"bucket-{name}",
        "jurisdiction": "CN",
    } | changes
    return RegionConfig.model_validate(values)


def file(*regions: RegionConfig, **residency: list[str]) -> RegionsFile:
    return RegionsFile.model_validate(
        {
            "policy_id": "P",
            "policy_version": "1",
            "residency": residency,
            "regions": list(regions) or [config()],
        }
    )


def resolver(**extra: Any) -> Callable[[str], Connection]:
    return lambda conn_id: Connection(conn_id, "aws", login="AKID", password="hunter2", extra=extra)


def test_a_region_takes_its_address_from_its_connection() -> None:
    [region] = open_regions(
        file(), resolver(endpoint_url="http://h:9000/", region_name="cn-north-1", verify="false")
    )
    address = region.address
    assert (address.endpoint_url, address.region_name) == ("http://h:9000", "cn-north-1")
    assert (address.access_key, address.secret_key, address.verify) == ("AKID", "hunter2", False)
    assert "hunter2" not in repr(region)


def test_an_endpoint_for_s3_alone_is_found_where_airflow_looks_for_it() -> None:
    extra = {
        "service_config": {"s3": {"endpoint_url": "https://s3.example.com"}},
        "endpoint_url": "https://other",
    }
    [region] = open_regions(file(), resolver(**extra))
    assert region.endpoint_url == "https://s3.example.com"


@pytest.mark.parametrize("endpoint", ["s3.example.com", "ftp://h", "http://", "http://u:hunter2@h"])
def test_an_endpoint_that_is_no_web_address_is_refused_without_showing_it(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"https://s3\.example\.com or") as caught:
        open_regions(file(), resolver(endpoint_url=endpoint))
    assert "hunter2" not in str(caught.value)


def same_place(first: dict[str, Any], second: dict[str, Any]) -> list[Region]:
    regions = file(config("cn-east", bucket="one-bucket"), config("cn-north", bucket="one-bucket"))
    extras = {"c_cn-east": first, "c_cn-north": second}
    return open_regions(regions, lambda conn_id: resolver(**extras[conn_id])(conn_id))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"endpoint_url": "http://h:9000"}, {"endpoint_url": "http://H:9000/"}),
        ({"endpoint_url": "https://h"}, {"endpoint_url": "https://h:443"}),
        ({"endpoint_url": "http://localhost:9000"}, {"endpoint_url": "http://127.0.0.1:9000"}),
        ({"region_name": "us-east-1"}, {"region_name": "eu-west-1"}),
    ],
)
def test_two_regions_in_one_bucket_are_refused_however_it_is_spelt(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    with pytest.raises(RegionMisconfigured, match="cn-east and cn-north are the same place"):
        same_place(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"endpoint_url": "http://h:9000"}, {"endpoint_url": "http://h:9001"}),
        ({"region_name": "us-east-1"}, {"region_name": "cn-north-1"}),
    ],
)
def test_buckets_of_one_name_in_different_stores_are_different(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert len(same_place(first, second)) == 2


@pytest.mark.parametrize(
    ("connection", "found"),
    [
        (Connection("c", "aws", password="hunter2"), "no login"),
        (Connection("c", "aws", login="hunter2"), "no password"),
        (Connection("c", "postgres", login="a", password="hunter2"), "type postgres"),
    ],
)
def test_a_connection_that_is_incomplete_or_of_another_kind_is_told(
    connection: Connection, found: str
) -> None:
    with pytest.raises(ConfigError, match=rf"region cn-east.*Found: {found}") as caught:
        open_regions(file(), lambda conn_id: connection)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "CN_East"},
        {"bucket": "Ab"},
        {"bucket": "has_underscore"},
        {"prefix": "/a"},
        {"prefix": "a/../b"},
        {"jurisdiction": "China"},
        {"lock_mode": "compliance"},
        {"lock_days": 0},
        {"colour": "red"},
    ],
)
def test_a_region_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**changes)


def test_two_regions_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="cn-east is there twice"):
        file(config(), config())


def test_an_unknown_region_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"Expected: one of cn-east, cn-north. Found: cn-west"):
        file(config(), config("cn-north")).region("cn-west")


def test_data_may_be_where_the_policy_allows_it() -> None:
    check_residency("public", [config(), config("de", jurisdiction="DE")], file(public=["CN", "DE"]))


def test_data_outside_the_policy_is_refused_and_the_region_named() -> None:
    regions = [config(), config("de", jurisdiction="DE")]
    with pytest.raises(ResidencyError, match=r"Expected: jurisdictions CN. Found: de \(DE\)"):
        check_residency("personal", regions, file(personal=["CN"], public=["CN", "DE"]))


def test_a_class_the_policy_does_not_know_may_be_nowhere() -> None:
    with pytest.raises(ResidencyError, match="says nothing about data class personal"):
        check_residency("personal", [config()], file(public=["CN"]))
    with pytest.raises(ResidencyError):
        check_residency("personal", [config()], file())


def test_a_part_of_a_country_with_laws_of_its_own_is_not_the_country() -> None:
    with pytest.raises(ResidencyError):
        check_residency("personal", [config(jurisdiction="CN-HK")], file(personal=["CN"]))


def test_a_misspelt_jurisdiction_in_the_policy_is_refused() -> None:
    with pytest.raises(ValidationError):
        file(personal=["cn"])
