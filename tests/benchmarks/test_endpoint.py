"""The endpoint of the benchmarks must behave like a store, or what is measured against it means nothing."""

import base64
import hashlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidewatch.core.errors import AlreadyExists, ObjectMissing
from tidewatch.core.objectstore import Address, ObjectStore

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "endpoint.py"
MIB = 1 << 20


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    command = [sys.executable, str(PROGRAM), "--memory-gib", "0.125"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = Address(f"http://127.0.0.1:{int(process.stdout.readline())}", "us-east-1", "a", "b")
            yield ObjectStore("benchmark", address, "bucket")
        finally:
            process.kill()


def test_an_upload_in_parts_is_read_back_byte_for_byte_and_keeps_its_lock(store: ObjectStore) -> None:
    parts = [secrets.token_bytes(5 * MIB + 1), secrets.token_bytes(5 * MIB), b"end"]
    upload = store.multipart("a key/with + signs")
    for number, part in enumerate(parts, 1):
        upload.part(number, part, hashlib.sha256(part).digest())
    stored = upload.complete()
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    store.set_retention("a key/with + signs", stored.version_id, "COMPLIANCE", until)
    head = store.head("a key/with + signs", stored.version_id)
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    assert head.checksum_sha256 == base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-3"
    assert (head.lock_mode, head.retain_until) == ("COMPLIANCE", until)
    assert b"".join(store.get("a key/with + signs", stored.version_id)) == b"".join(parts)
    reply = store.client.get_object(
        Bucket="bucket", Key="a key/with + signs", Range=f"bytes={5 * MIB}-{5 * MIB + 2}"
    )
    assert reply["Body"].read() == b"".join(parts)[5 * MIB : 5 * MIB + 3]


def test_a_key_that_is_taken_stays_what_it_was(store: ObjectStore) -> None:
    store.put("taken", b"first")
    with pytest.raises(AlreadyExists):
        store.put("taken", b"second")
    second = store.put("taken", b"second", if_absent=False)
    assert store.read("taken") == b"second"
    store.delete("taken", second.version_id)
    assert store.read("taken") == b"first"
    assert [row.key for row in store.list("tak")] == ["taken"]
    store.delete("taken")
    with pytest.raises(ObjectMissing):
        store.read("taken")


def test_memory_of_deleted_objects_is_used_again(store: ObjectStore) -> None:
    for _ in range(4):  # 4 x 48 MiB do not fit into its 128
        version = store.put("large", bytes(48 * MIB), if_absent=False).version_id
        store.delete("large", version)
    assert list(store.list("large")) == []
