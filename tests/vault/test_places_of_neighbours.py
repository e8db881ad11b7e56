"""Installations that share a bucket: what one wrote is never taken for the other's, whatever the prefixes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatch.vault.inventory import place_of
from tidewatch.vault.layout import BackupPath

SOURCES = st.sampled_from(["media", "watch", "probes", "objects", "t2"])
PARTS = ["tide", "tide-2", "watch", "media", "2026", "11", "objects", "probes", "2026-11-22"]
PREFIXES = st.lists(st.sampled_from([*PARTS, "media-20261122T213125Z-0bc24c30"]), min_size=1, max_size=6).map(
    "/".join
)


@settings(max_examples=500, deadline=None)
@given(ours=PREFIXES, theirs=PREFIXES, source=SOURCES)
def test_a_key_of_another_prefix_is_never_ours(ours: str, theirs: str, source: str) -> None:
    path = BackupPath(theirs, source, f"{source}-20261122T213125Z-0bc24c30")
    own = ours == theirs
    for key in (path.manifest_key, path.decision_key, path.object_key("pack-00001.tar.zst.age")):
        assert place_of(ours, key) == (path if own else None)
    for name in ("put-00000000", "locked"):
        assert (place_of(ours, f"{theirs}/probes/2026-11-22/{name}") is not None) == own
