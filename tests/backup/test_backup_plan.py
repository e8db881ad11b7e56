"""What goes where is decided, and refused, before anything is read."""

from pathlib import Path
from typing import Any

import pytest

from tidewatch.backup.context import build_context
from tidewatch.backup.plan import plan
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import Connection, missing
from tidewatch.core.errors import (
    ConfigError,
    MissingConnection,
    NotFound,
    RegionMisconfigured,
    ResidencyError,
)
from tidewatch.core.objectstore import Address
from tidewatch.core.regions import Region, RegionConfig, RegionsFile
from tidewatch.core.settings import Settings
from tidewatch.core.sources import SourcesFile

JURISDICTIONS = {"cn-east": "CN", "cn-north": "CN", "eu-west": "DE"}


def _file(**config: Any) -> RegionsFile:
    regions = [
        RegionConfig.model_validate(
            {"name": name, "connection": name, "bucket": "backups", "jurisdiction": where} | config
        )
        for name, where in JURISDICTIONS.items()
    ]
    residency = {"personal": ["CN"], "public": ["CN", "DE"]}
    return RegionsFile(policy_id="P", policy_version="1", residency=residency, regions=regions)


def _sources(*sources: dict[str, Any]) -> SourcesFile:
    base = {"type": "files", "path": "/srv"}
    return SourcesFile.model_validate({"sources": [base | s for s in sources]})


def _opened(file: RegionsFile) -> list[Region]:
    return [Region(c, Address(f"http://{c.name}", "us-east-1", "a", "b")) for c in file.regions]


def test_a_source_without_regions_of_its_own_goes_to_all() -> None:
    file = _file()
    planned = plan(_sources({"name": "media", "data_class": "public"}), file, _opened(file))
    assert [r.name for r in planned[0].regions] == list(JURISDICTIONS) == list(planned[0].required)


def test_one_forbidden_source_stops_the_plan_of_all() -> None:
    file = _file()
    sources = _sources({"name": "media", "data_class": "public"}, {"name": "crm", "data_class": "personal"})
    with pytest.raises(ResidencyError, match=r"eu-west \(DE\)"):
        plan(sources, file, _opened(file))


def test_personal_data_may_be_limited_to_regions_where_it_is_allowed() -> None:
    file = _file()
    sources = _sources({"name": "crm", "data_class": "personal", "regions": ["cn-east", "cn-north"]})
    assert [r.name for r in plan(sources, file, _opened(file))[0].regions] == ["cn-east", "cn-north"]


def test_a_data_class_that_policy_does_not_know_is_allowed_nowhere() -> None:
    file = _file()
    with pytest.raises(ResidencyError, match="says nothing"):
        plan(_sources({"name": "x", "data_class": "unheard_of"}), file, _opened(file))


def test_a_region_that_nobody_declared_is_named() -> None:
    file = _file()
    with pytest.raises(NotFound, match="cn-west"):
        plan(_sources({"name": "x", "data_class": "public", "regions": ["cn-west"]}), file, _opened(file))


def test_a_source_needs_a_required_region() -> None:
    file = _file(required=False)
    with pytest.raises(ConfigError, match="no required region"):
        plan(_sources({"name": "x", "data_class": "public"}), file, _opened(file))


def _resolver(endpoint: str) -> Any:
    def resolve(conn_id: str) -> Connection:
        if conn_id == "tidewatch_warehouse":
            return Connection(conn_id, "postgres", host="h", login="u", password="p", schema="d")
        return Connection(conn_id, "aws", login="a", password="b", extra={"endpoint_url": endpoint + conn_id})

    return resolve


def test_the_context_is_built_from_the_projects_own_configuration_without_any_connection(
    tmp_path: Path,
) -> None:
    ctx = build_context(Settings(home=tmp_path), _resolver("http://"), clock=utc_now)
    assert {s.name for s in ctx.sources.sources} >= {"ops", "media"}
    assert [ctx.planned(s.name).source.name for s in ctx.sources.sources]
    assert len(ctx.regions) == 3 and ctx.region("cn-east").name == "cn-east"
    with pytest.raises(NotFound, match="cn-west"):
        ctx.region("cn-west")
    with pytest.raises(ConfigError, match=r"signing\.pem"):
        _ = ctx.signing_key


def test_two_regions_in_one_place_are_refused(tmp_path: Path) -> None:
    same = _resolver("http://same")

    def one_place(conn_id: str) -> Connection:
        return same("tidewatch_warehouse" if conn_id == "tidewatch_warehouse" else "/")

    config = tmp_path / "config"
    config.mkdir()
    text = (Settings().config_dir / "regions.yaml").read_text()
    (config / "regions.yaml").write_text(
        "\n".join(
            "    bucket: same" if line.strip().startswith("bucket:") else line for line in text.splitlines()
        )
    )
    (config / "sources.yaml").write_text((Settings().config_dir / "sources.yaml").read_text())
    with pytest.raises(RegionMisconfigured, match="same place"):
        build_context(Settings(config_dir=config), one_place, clock=utc_now)


def test_a_region_without_connection_is_the_trouble_of_this_region_alone(tmp_path: Path) -> None:
    all_there = _resolver("http://")

    def two_of_three(conn_id: str) -> Connection:
        if conn_id == "tidewatch_region_cn_north":
            raise missing(conn_id)
        return all_there(conn_id)

    ctx = build_context(Settings(home=tmp_path), two_of_three, clock=utc_now)
    assert [r.name for r in ctx.regions] == ["cn-east", "cn-north", "cn-south"]
    with pytest.raises(RegionMisconfigured, match=r"cn-north.*AIRFLOW_CONN_TIDEWATCH_REGION_CN_NORTH"):
        ctx.region("cn-north").store.put("k", b"v")


def test_a_context_without_any_region_is_refused(tmp_path: Path) -> None:
    all_there = _resolver("http://")

    def none_of_three(conn_id: str) -> Connection:
        if conn_id.startswith("tidewatch_region"):
            raise missing(conn_id)
        return all_there(conn_id)

    with pytest.raises(MissingConnection, match="tidewatch_region_cn_east"):
        build_context(Settings(home=tmp_path), none_of_three, clock=utc_now)
