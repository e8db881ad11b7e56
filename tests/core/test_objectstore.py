"""The store as we use it: a real local S3, in front of it a proxy that loses what networks lose."""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.core.unreliable import Answer, Trouble, UnreliableProxy

from tidewatch.core.errors import (
    AlreadyExists,
    IntegrityError,
    ObjectMissing,
    RegionError,
    RegionMisconfigured,
    RegionRefused,
    RegionUnavailable,
)
from tidewatch.core.objectstore import Address, ObjectStore
from tidewatch.core.regions import Region

MIB = 1 << 20
LATER = datetime(2126, 1, 1, tzinfo=UTC)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.fixture
def region(three_regions: list[Region]) -> Region:
    return three_regions[0]


@pytest.fixture
def store(region: Region) -> ObjectStore:
    return region.store


@pytest.fixture
def proxy(region: Region) -> Iterator[UnreliableProxy]:
    assert region.endpoint_url is not None
    made = UnreliableProxy(region.endpoint_url)
    yield made
    made.close()


@pytest.fixture
def shaky(region: Region, proxy: UnreliableProxy) -> ObjectStore:
    """The same bucket as `store`, through the proxy."""
    return through(proxy, region)


def through(proxy: UnreliableProxy, region: Region) -> ObjectStore:
    return ObjectStore(region.name, replace(region.address, endpoint_url=proxy.url), region.config.bucket)


def versions(store: ObjectStore, key: str) -> list[str]:
    reply = store.client.list_object_versions(Bucket=store.bucket, Prefix=key)
    return [v["VersionId"] for v in reply.get("Versions", [])]


def upload(store: ObjectStore, key: str, *parts: bytes, if_absent: bool = True) -> str | None:
    multipart = store.multipart(key)
    for number, part in enumerate(parts, 1):
        multipart.part(number, part, sha(part))
    return multipart.complete(if_absent=if_absent).version_id


# -- what works --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a/b.txt", "媒体/观潮 (1)+&=?.mp4", "a//b/../c"])
def test_what_was_put_is_read_back(store: ObjectStore, key: str) -> None:
    stored = store.put(key, b"bytes")
    head = store.head(key)
    assert (head.size, head.version_id, head.etag) == (5, stored.version_id, stored.etag)
    assert store.read(key) == b"bytes"
    assert [listed.key for listed in store.list(key[:3])] == [key]


def test_what_is_read_whole_has_a_limit(store: ObjectStore) -> None:
    store.put("k", b"x" * 10)
    assert store.read("k", largest=10) == b"x" * 10
    with pytest.raises(IntegrityError, match="larger than what is read whole"):
        store.read("k", largest=9)


def test_a_large_object_streams_in_chunks_of_at_most_a_mebibyte(store: ObjectStore) -> None:
    parts = [secrets.token_bytes(5 * MIB), secrets.token_bytes(3 * MIB + 17)]
    version = upload(store, "large", *parts)
    chunks = list(store.get("large", version))
    assert b"".join(chunks) == b"".join(parts)
    assert max(map(len, chunks)) <= MIB


def test_parts_may_be_sent_again_and_out_of_order(store: ObjectStore) -> None:
    first, second = secrets.token_bytes(5 * MIB), b"end"
    multipart = store.multipart("k")
    multipart.part(2, b"draft", sha(b"draft"))
    multipart.part(1, first, sha(first))
    multipart.part(2, second, sha(second))
    sent: list[bytes] = []
    # The local store takes parts in any order; S3 itself does not.
    store.client.meta.events.register(
        "before-call.s3.CompleteMultipartUpload", lambda params, **_: sent.append(params["body"])
    )
    multipart.complete()
    assert sent[0].index(b"<PartNumber>1<") < sent[0].index(b"<PartNumber>2<")
    assert store.read("k") == first + second


def test_a_version_stays_readable_after_a_delete_marker(store: ObjectStore) -> None:
    version = store.put("k", b"kept").version_id
    store.delete("k")
    with pytest.raises(ObjectMissing):
        store.head("k")
    assert store.read("k", version) == b"kept"


def test_a_listing_goes_over_all_pages(store: ObjectStore) -> None:
    keys = sorted(f"p/{n:04d}" for n in range(1003))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.put(key, b"", if_absent=False), keys))
    assert [listed.key for listed in store.list("p/")] == keys


def test_every_version_and_delete_marker_is_listed_over_all_pages(store: ObjectStore) -> None:
    store.client.meta.events.register(
        "provide-client-params.s3.ListObjectVersions", lambda params, **_: {**params, "MaxKeys": 2}
    )
    written = [store.put("v/a", bytes(n), if_absent=False).version_id for n in range(3)]
    store.delete("v/a")
    other = store.put("v/b", b"xy").version_id
    store.put("w", b"")
    rows = list(store.list_versions("v/"))
    assert [(r.key, r.version_id, r.size) for r in rows if not r.delete_marker] == [
        *(("v/a", version, n) for n, version in reversed(list(enumerate(written)))),
        ("v/b", other, 2),
    ]
    assert [(r.key, r.latest, r.size) for r in rows if r.delete_marker] == [("v/a", True, 0)]
    assert [r.key for r in rows if r.latest] == ["v/a", "v/b"]
    (marker,) = [r.version_id for r in rows if r.delete_marker]
    store.delete("v/a", marker)
    assert store.head("v/a").version_id == written[-1]


def test_unfinished_uploads_are_listed_over_all_pages_and_aborted(store: ObjectStore) -> None:
    store.client.meta.events.register(
        "provide-client-params.s3.ListMultipartUploads", lambda params, **_: {**params, "MaxUploads": 2}
    )
    begun = {(f"u/{n}", store.multipart(f"u/{n}").upload_id) for n in range(5)}
    store.multipart("elsewhere")
    assert {(u.key, u.upload_id) for u in store.list_multiparts("u/")} == begun
    for key, upload_id in begun:
        store.abort_multipart(key, upload_id)
        store.abort_multipart(key, upload_id)
    assert list(store.list_multiparts("u/")) == []


@pytest.mark.parametrize("markers", [b"", b"<NextKeyMarker>k</NextKeyMarker>"])
def test_a_listing_that_does_not_go_forward_ends_in_words(
    shaky: ObjectStore, proxy: UnreliableProxy, markers: bytes
) -> None:
    same = Answer(200, b"<R><IsTruncated>true</IsTruncated>" + markers + b"</R>")
    for listing in (shaky.list_versions, shaky.list_multiparts):
        proxy.on("GET", same, same, same)
        with pytest.raises(RegionMisconfigured, match="to its end"):
            list(listing("k"))


def test_a_bucket_is_made_once_with_a_lock_even_by_two_at_once(region: Region) -> None:
    bucket = f"t-{secrets.token_hex(8)}"
    stores = [ObjectStore(region.name, region.address, bucket) for _ in range(3)]
    assert not stores[0].describe().exists
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(ObjectStore.ensure_bucket, stores))
    facts = stores[0].describe()
    assert (facts.exists, facts.versioning, facts.object_lock) == (True, True, True)


def test_a_bucket_whose_making_was_not_confirmed_is_there(region: Region, proxy: UnreliableProxy) -> None:
    address = replace(region.address, endpoint_url=proxy.url)
    store = ObjectStore(region.name, address, f"t-{secrets.token_hex(8)}")
    proxy.on("PUT", "lose the answer", Answer.error(409, "BucketAlreadyOwnedByYou"))
    store.ensure_bucket()
    assert store.describe().object_lock
    other = ObjectStore(region.name, address, f"t-{secrets.token_hex(8)}")
    proxy.on("PUT", Answer.error(409, "BucketAlreadyExists"))
    with pytest.raises(RegionError):
        other.ensure_bucket()


# -- locks -------------------------------------------------------------------------------------------------


def test_a_lock_never_ends_earlier_than_asked(store: ObjectStore) -> None:
    until = LATER + timedelta(microseconds=1)
    version = store.put("k", b"x").version_id
    store.set_retention("k", version, "COMPLIANCE", until)
    head = store.head("k", version)
    assert head.lock_mode == "COMPLIANCE"
    assert head.retain_until == LATER + timedelta(seconds=1)


def test_a_locked_version_is_neither_deleted_nor_released(store: ObjectStore) -> None:
    version = store.put("k", b"x").version_id
    store.set_retention("k", version, "COMPLIANCE", LATER)
    with pytest.raises(RegionRefused):
        store.delete("k", version)
    with pytest.raises(RegionRefused):
        store.set_retention("k", version, "COMPLIANCE", LATER - timedelta(days=1))
    store.set_retention("k", version, "COMPLIANCE", LATER + timedelta(days=1))
    assert store.read("k", version) == b"x"


def test_a_time_without_a_zone_is_refused(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="without a zone"):
        store.set_retention("k", "v", "COMPLIANCE", datetime(2126, 1, 1))  # noqa: DTZ001 - the point


def test_a_bucket_without_lock_is_told(region: Region) -> None:
    bare = ObjectStore(region.name, region.address, f"t-{secrets.token_hex(8)}")
    bare.client.create_bucket(Bucket=bare.bucket)
    facts = bare.describe()
    assert (facts.exists, facts.object_lock) == (True, False)
    version = bare.put("k", b"x").version_id
    with pytest.raises(RegionMisconfigured, match=r"with object lock.*create a new bucket"):
        bare.set_retention("k", version, "COMPLIANCE", LATER)


# -- what is refused ---------------------------------------------------------------------------------------


def test_a_taken_key_is_not_overwritten_and_not_tried_again(
    store: ObjectStore, shaky: ObjectStore, proxy: UnreliableProxy
) -> None:
    store.put("k", b"first")
    proxy.on("PUT")
    with pytest.raises(AlreadyExists):
        shaky.put("k", b"second")
    assert len(proxy.seen) == 1
    with pytest.raises(AlreadyExists):
        shaky.put("k", b"first")
    with pytest.raises(AlreadyExists):
        upload(store, "k", b"second")
    assert store.read("k") == b"first"


def test_bytes_that_do_not_fit_their_checksum_are_refused(store: ObjectStore) -> None:
    with pytest.raises(IntegrityError):
        store.put("k", b"sent", sha256=sha(b"meant"))
    multipart = store.multipart("k")
    with pytest.raises(IntegrityError):
        multipart.part(1, b"sent", sha(b"meant"))
    multipart.abort()
    with pytest.raises(ObjectMissing):
        store.head("k")


@pytest.mark.parametrize("call", [ObjectStore.head, ObjectStore.read, lambda s, k: list(s.get(k))])
def test_a_missing_object_is_told(store: ObjectStore, call: Callable[[ObjectStore, str], object]) -> None:
    with pytest.raises(ObjectMissing, match=rf"Region cn-east did not .* {store.bucket}/no/such"):
        call(store, "no/such")


def test_wrong_credentials_are_told_at_once_and_not_shown(region: Region, proxy: UnreliableProxy) -> None:
    address = replace(region.address, endpoint_url=proxy.url, secret_key="hunter2-wrong-secret")
    wrong = ObjectStore(region.name, address, region.config.bucket)
    for method, call in (("PUT", lambda: wrong.put("k", b"x")), ("HEAD", wrong.describe)):
        proxy.on(method)
        with pytest.raises(RegionRefused, match="check the connection of region cn-east") as caught:
            call()
        assert len(proxy.seen) == 1
        assert "hunter2" not in f"{caught.value}{caught.value.__cause__}{address!r}"


def test_a_missing_bucket_is_told(region: Region) -> None:
    nowhere = ObjectStore(region.name, region.address, "no-such-bucket")
    for call in (
        lambda: nowhere.put("k", b""),
        lambda: list(nowhere.list("")),
        lambda: nowhere.multipart("k"),
    ):
        with pytest.raises(RegionMisconfigured, match=r"create it with object lock"):
            call()


def test_a_name_that_s3_does_not_allow_is_told_at_once(region: Region) -> None:
    with pytest.raises(RegionMisconfigured, match="that S3 allows"):
        ObjectStore(region.name, region.address, "Not A Bucket!").put("k", b"")


# -- lost answers ------------------------------------------------------------------------------------------


def test_a_write_whose_answer_was_lost_is_a_success(
    store: ObjectStore, shaky: ObjectStore, proxy: UnreliableProxy
) -> None:
    proxy.on("PUT", "lose the answer")
    stored = shaky.put("k", b"once")
    assert versions(store, "k") == [stored.version_id]
    assert len(proxy.seen) == 2


@pytest.mark.parametrize(
    "second", [Answer.error(404, "NoSuchUpload"), Answer.error(412, "PreconditionFailed")]
)
def test_a_finished_upload_whose_answer_was_lost_is_a_success(
    store: ObjectStore, shaky: ObjectStore, proxy: UnreliableProxy, second: Answer
) -> None:
    # The local store finishes an upload twice; others say one of these to the second try.
    parts = [secrets.token_bytes(5 * MIB), b"end"]
    proxy.on("POST", "lose the answer", second, containing="uploadId")
    version = upload(shaky, "k", *parts)
    assert len(proxy.seen) == 2
    assert versions(store, "k") == [version]
    assert store.read("k", version) == b"".join(parts)


def test_a_part_whose_answer_was_lost_is_sent_again(shaky: ObjectStore, proxy: UnreliableProxy) -> None:
    proxy.on("PUT", "lose the answer", "cut before", containing="partNumber=1")
    upload(shaky, "k", b"only part")
    assert shaky.read("k") == b"only part"


def test_after_a_retry_another_ones_object_is_still_not_taken_for_ours(
    store: ObjectStore, shaky: ObjectStore, proxy: UnreliableProxy
) -> None:
    store.put("k", b"other")
    store.put("multi", b"other")
    for size_of_other in (b"mine!", b"longer than the other"):
        proxy.on("PUT", "cut before")
        with pytest.raises(AlreadyExists):
            shaky.put("k", size_of_other)
        proxy.on("POST", "cut before", containing="uploadId")
        with pytest.raises(AlreadyExists):
            upload(shaky, "multi", size_of_other)
    assert store.read("k") == store.read("multi") == b"other"


def test_a_conflict_with_a_write_under_way_is_tried_again(shaky: ObjectStore, proxy: UnreliableProxy) -> None:
    proxy.on("PUT", Answer.error(409, "ConditionalRequestConflict"))
    shaky.put("k", b"x")
    proxy.on("PUT", "lose the answer", Answer.error(409, "ConditionalRequestConflict"))
    assert shaky.put("again", b"x").version_id == shaky.head("again").version_id


def test_an_upload_that_was_aborted_cannot_be_finished_and_may_be_aborted_again(store: ObjectStore) -> None:
    multipart = store.multipart("k")
    multipart.part(1, b"x", sha(b"x"))
    multipart.abort()
    multipart.abort()
    with pytest.raises((ObjectMissing, RegionError)):
        multipart.complete()
    assert versions(store, "k") == []


# -- stores that do not answer -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        "cut before",
        "lose the answer",
        Answer.error(503, "SlowDown"),
        Answer.error(500, "InternalError"),
        Answer.error(429, "TooManyRequests"),
        Answer(502, b"<html>Bad gateway</html>"),
        Answer(200, b"<html>captive portal"),
        Answer(200, b"<html/>"),
    ],
    ids=str,
)
def test_a_passing_trouble_is_waited_out(
    store: ObjectStore, shaky: ObjectStore, proxy: UnreliableProxy, trouble: Answer
) -> None:
    store.put("a/k", b"x")
    proxy.on("GET", trouble, trouble)
    assert [listed.key for listed in shaky.list("a/")] == ["a/k"]
    assert len(proxy.seen) == 3


def test_an_answer_that_lacks_what_s3_always_tells_is_no_success(
    shaky: ObjectStore, proxy: UnreliableProxy
) -> None:
    nothing = Answer(200)
    proxy.on("PUT", nothing)
    assert shaky.put("k", b"x").etag
    assert shaky.head("k").size == 1
    proxy.on("POST", nothing, containing="uploads")
    upload(shaky, "multi", b"y")
    assert shaky.read("multi") == b"y"


def test_a_trouble_that_stays_ends_after_the_agreed_attempts(
    shaky: ObjectStore, proxy: UnreliableProxy
) -> None:
    proxy.on("PUT", *[Answer.error(503, "SlowDown")] * 20)
    with pytest.raises(RegionUnavailable, match=r"SlowDown \(HTTP 503\)"):
        shaky.put("k", b"x")
    assert len(proxy.seen) == 5


def test_a_region_that_is_off_is_unavailable(region: Region, proxy: UnreliableProxy) -> None:
    off = through(proxy, region)
    proxy.close()
    with pytest.raises(RegionUnavailable, match=rf"Region cn-east did not write {off.bucket}/k") as caught:
        off.put("k", b"x")
    assert caught.value.retryable


def test_a_download_that_breaks_is_begun_again_only_when_it_is_small(
    store: ObjectStore, shaky: ObjectStore, proxy: UnreliableProxy
) -> None:
    body = secrets.token_bytes(3 * MIB)
    store.put("k", body)
    proxy.on("GET", "cut midway", "cut midway")
    assert shaky.read("k") == body
    proxy.on("GET", "cut midway")
    got: list[bytes] = []
    with pytest.raises(RegionUnavailable):
        got.extend(shaky.get("k"))
    assert len(b"".join(got)) < len(body)
    always: list[Trouble | Answer] = [Answer.error(503, "SlowDown")] * 30
    proxy.on("GET", *always)
    with pytest.raises(RegionUnavailable):
        shaky.read("k")
    assert len(proxy.seen) == 5, "attempts must not multiply"


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (Answer.error(501, "NotImplemented"), RegionMisconfigured, "use another store"),
        (
            Answer.error(400, "InvalidBucketName"),
            RegionMisconfigured,
            "endpoint_url and region_name",
        ),
        (
            Answer.error(400, "AuthorizationHeaderMalformed"),
            RegionMisconfigured,
            "endpoint_url and region_name",
        ),
        (Answer.error(403, "RequestTimeTooSkewed"), RegionRefused, "correct the clock"),
        (Answer.error(403, "InvalidAccessKeyId"), RegionRefused, "check the connection"),
        (Answer.error(400, "ExpiredToken"), RegionRefused, "check the connection"),
        (Answer.error(418, "Teapot"), RegionError, r"Found: Teapot \(HTTP 418\)"),
    ],
)
def test_what_is_wrong_for_good_is_told_at_once(
    shaky: ObjectStore, proxy: UnreliableProxy, answer: Answer, kind: type[RegionError], text: str
) -> None:
    proxy.on("PUT", answer)
    with pytest.raises(kind, match=text) as caught:
        shaky.put("k", b"x")
    assert type(caught.value) is kind
    assert not caught.value.retryable
    assert len(proxy.seen) == 1


def test_a_lock_that_may_not_be_looked_at_is_not_taken_for_no_lock(
    shaky: ObjectStore, proxy: UnreliableProxy
) -> None:
    proxy.on("GET", Answer.error(403, "AccessDenied"), containing="object-lock")
    with pytest.raises(RegionRefused):
        shaky.describe()
    proxy.on("GET", Answer.error(501, "NotImplemented"), containing="object-lock")
    assert not shaky.describe().object_lock


def test_an_address_does_not_show_its_secrets() -> None:
    address = Address("http://h", "r", "AKIDEXAMPLE", "hunter2", "hunter3")
    assert "hunter" not in repr(address)


def test_a_body_is_signed_by_the_digest_that_came_with_it_and_hashed_no_more(store: ObjectStore) -> None:
    signed: list[object] = []
    store.client.meta.events.register(
        "before-send.s3", lambda request, **_: signed.append(request.headers["X-Amz-Content-SHA256"])
    )
    wrong = bytes(range(32))
    for body in (b"", b"tide"):
        with pytest.raises(IntegrityError):
            store.put("t/wrong", body, sha256=wrong)
    assert signed == [wrong.hex().encode()] * 2
    upload = store.multipart("t/parts")
    signed.clear()
    body = bytearray(b"tide" * 2 * MIB)
    upload.part(1, memoryview(body), sha(body))
    assert signed == [sha(body).hex().encode()]
    upload.complete()
    assert store.read("t/parts") == body
