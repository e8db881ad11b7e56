"""A region that misbehaves in one way, from the first request or from a later one: the backup says so.

Each fault in each of its places: the others are whole, nobody calls the copy verified, the reason is said
in words, and when the region is itself again healing seals.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from dependencies import CountingProxy, Plan
from unreliable import Answer, Trouble, _Handler
from worlds import Maker, Small

from tidewatch.backup.heal import heal
from tidewatch.core.errors import ObjectMissing
from tidewatch.core.regions import Region

LOST = (
    b"<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><ETag>&quot;e&quot;</ETag>"
    b"</CompleteMultipartUploadResult>"
)


@dataclass
class Fault:
    """Requests that contain all of `where` meet `trouble`, or have the bytes of their answer changed."""

    where: tuple[str, ...] = ()
    trouble: Trouble | Answer | None = None
    spoils: bool = False
    hangs: bool = False
    forgets: bool = False
    """The object is gone before the request is answered."""
    says: str = ""
    """A word of the reason that people read."""


FAULTS = {
    "answers 500": Fault(trouble=Answer.error(500, "InternalError"), says="InternalError"),
    "asks to slow down": Fault(trouble=Answer.error(503, "SlowDown"), says="SlowDown"),
    "cuts its connections": Fault(trouble="cut before", says="did not begin"),
    "loses every answer": Fault(trouble="lose the answer", says="did not begin"),
    "has no space left for parts": Fault(
        ("PUT ", "partNumber"), Answer.error(507, "InsufficientStorage"), says="507"
    ),
    "expires our credentials before the read-back": Fault(
        ("HEAD ", "pack"), Answer.error(403, "ExpiredToken"), says="403"
    ),
    "expires our credentials before the manifest": Fault(
        ("PUT ", "manifest"), Answer.error(403, "ExpiredToken"), says="ExpiredToken"
    ),
    "says that it has an object and has not": Fault(
        ("POST ", "uploadId"), Answer(200, LOST), says="no such object"
    ),
    "loses an object before it is locked": Fault(("HEAD ", "pack"), forgets=True, says="no such object"),
    "loses a manifest before it is locked": Fault(("HEAD ", "manifest"), forgets=True, says="no such object"),
    "says that it locks and does not": Fault(("PUT ", "retention", "pack"), Answer(200), says="lock mode"),
    "says that it locks a manifest and does not": Fault(
        ("PUT ", "retention", "manifest"), Answer(200), says="expected a lock"
    ),
    "refuses to lock": Fault(("PUT ", "retention"), Answer.error(403, "AccessDenied"), says="did not lock"),
    "shows other bytes": Fault(("GET ", "pack"), spoils=True, says="SHA-256"),
    "shows another manifest": Fault(("GET ", "manifest.json?versionId"), spoils=True, says="SHA-256"),
    "breaks off every download": Fault(("GET ", "pack"), "cut midway", says="did not read"),
    "hangs at an upload": Fault(("PUT ", "partNumber=2"), hangs=True, says="Timeout"),
    "hangs at a read-back": Fault(("GET ", "pack"), hangs=True, says="Timeout"),
    "hangs at the manifest": Fault(("PUT ", "manifest.json"), hangs=True, says="Timeout"),
}
REGIONS = ("cn-east", "cn-north", "cn-south")


class _Handler2(_Handler):
    server: "Misbehaving"

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        status, headers, content = super()._ask(body)
        fault = self.server.fault
        if fault and fault.spoils and self.server.meets(f"{self.command} {self.path}") and status == 200:
            content = bytes([content[0] ^ 1]) + content[1:]
        return status, headers, content


class Misbehaving(CountingProxy):
    """One region with one fault."""

    def __init__(self, region: Region) -> None:
        super().__init__(region)
        self.fault: Fault | None = None
        self.region = region
        self.released = threading.Event()
        self.RequestHandlerClass = _Handler2

    def meets(self, request: str) -> bool:
        return self.fault is not None and all(part in request for part in self.fault.where)

    def trouble_for(self, request: str) -> Trouble | Answer | None:
        fault = self.fault
        if fault is None or not self.meets(request):
            return None
        if fault.hangs:
            self.released.wait(60)
            return "cut before"
        if fault.forgets:
            key = request.split("?", maxsplit=1)[0].split("/", 2)[2]
            with contextlib.suppress(ObjectMissing):
                self.region.store.delete(key, self.region.store.head(key).version_id)
        return fault.trouble


@pytest.fixture
def misbehaving(make: Maker) -> Iterator[Callable[[str, Fault], Small]]:
    """A small world in which one region has a fault."""
    opened: list[Misbehaving] = []

    def start(name: str, fault: Fault) -> Small:
        s = make("a backup of files")
        real = next(r for r in s.world.regions if r.name == name)
        proxy = Misbehaving(real)
        opened.append(proxy)
        proxy.fault = fault
        s.proxies = {**s.proxies, name: proxy}
        shown = proxy.before(real)
        patience = 1.0 if fault.hangs else shown.address.read_timeout_s
        s.rig.through(name, Region(shown.config, replace(shown.address, read_timeout_s=patience)))
        return s

    yield start
    for proxy in opened:
        proxy.released.set()
        proxy.close()


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_region_that_misbehaves_is_named_with_its_reason_and_healed_when_it_is_right_again(
    misbehaving: Callable[[str, Fault], Small], fault: str
) -> None:
    name = REGIONS[list(FAULTS).index(fault) % 3]  # regions are alike: each has its share of the faults
    s = misbehaving(name, FAULTS[fault])
    outcome = s.rig.back_up(s.source)
    assert outcome.verdict == "degraded" and list(outcome.missing) == [name]
    assert FAULTS[fault].says in outcome.missing[name], outcome.missing
    assert FAULTS[fault].says in str(s.rig.notices()), "the notice says why"
    s.world.require()
    s.rig.through(name, next(r for r in s.world.regions if r.name == name))
    assert heal(s.rig.ctx, outcome.backup_id).verdict == "sealed"
    s.world.require(settled=True)


@pytest.mark.parametrize("fault", ["answers 500", "says that it locks and does not", "shows other bytes"])
def test_the_same_fault_in_every_region_is_a_failed_backup_and_never_a_seal(make: Maker, fault: str) -> None:
    s = make("a backup of files")
    proxies = [Misbehaving(r) for r in s.world.regions]
    try:
        s.rig.regions = [p.before(p.region) for p in proxies]
        for proxy in proxies:
            proxy.fault = FAULTS[fault]
        with pytest.raises(Exception, match=r"No region|in no region") as caught:
            s.rig.back_up(s.source)
        assert all(r.name in str(caught.value) for r in s.world.regions), "each region is named"
        s.world.require(settled=True)
        for proxy in proxies:
            proxy.fault = None
        assert s.rig.back_up(s.source).verdict == "sealed", "the same run again"
        s.world.require(settled=True)
    finally:
        for proxy in proxies:
            proxy.close()


def test_a_region_that_is_down_after_the_seal_costs_the_next_backup_only_its_copy_there(make: Maker) -> None:
    s = make("a backup of files")
    first = s.rig.back_up(s.source)
    proxy = s.proxies["cn-east"]
    proxy.plan = Plan("down from here on", 1, for_good=True, on=True)
    second = s.rig.back_up(s.source, "run-2")
    proxy.plan = Plan()
    assert (first.verdict, second.verdict, list(second.missing)) == ("sealed", "degraded", ["cn-east"])
    assert s.rig.get(first.backup_id).status == "sealed"
    s.world.require(settled=True)
    assert heal(s.rig.ctx, second.backup_id).verdict == "sealed"
    s.world.require(settled=True)
