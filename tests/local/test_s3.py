"""A local region keeps its promises: keys checked, locks enforced, nothing lost by `kill -9`."""

import base64
import hashlib
import json
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import httpx
import psutil
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError
from mypy_boto3_s3.client import S3Client

from tidewatch.core import processes
from tidewatch.local.s3 import LocalRegion
from tidewatch.local.s3_state import drop_unanswered_writes

BUCKET = "vault"
SOON = datetime.now(UTC) + timedelta(days=2)


@pytest.fixture
def region(tmp_path: Path) -> Iterator[LocalRegion]:
    made = LocalRegion("cn-test", tmp_path / "region")
    made.start()
    made.create_bucket(BUCKET)
    yield made
    made.stop()


def client_with(region: LocalRegion, access_key: str, secret_key: str) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=region.endpoint_url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 1}, request_checksum_calculation="when_required"),
    )


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def test_a_lock_and_its_version_survive_a_kill(region: LocalRegion) -> None:
    client = region.client()
    version = client.put_object(Bucket=BUCKET, Key="a/日记.txt", Body=b"kept")["VersionId"]
    client.put_object_retention(
        Bucket=BUCKET,
        Key="a/日记.txt",
        VersionId=version,
        Retention={"Mode": "COMPLIANCE", "RetainUntilDate": SOON},
    )
    region.kill()

    again = LocalRegion(region.name, region.home)
    assert not again.running()
    again.start()
    client = again.client()
    head = client.head_object(Bucket=BUCKET, Key="a/日记.txt")
    assert head["VersionId"] == version
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert abs(head["ObjectLockRetainUntilDate"] - SOON) < timedelta(seconds=1)
    with pytest.raises(ClientError) as caught:
        client.delete_object(Bucket=BUCKET, Key="a/日记.txt", VersionId=version)
    assert code_of(caught) == (403, "AccessDenied")
    assert client.get_object(Bucket=BUCKET, Key="a/日记.txt", VersionId=version)["Body"].read() == b"kept"
    again.stop()


def test_bucket_settings_survive_a_kill(region: LocalRegion) -> None:
    client = region.client()
    client.put_object_lock_configuration(
        Bucket=BUCKET,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}},
        },
    )
    region.kill()
    region.start()
    client = region.client()
    rule = client.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]["Rule"]
    assert rule["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 3}
    assert client.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"


def test_older_versions_and_released_locks_survive_a_kill(region: LocalRegion) -> None:
    client = region.client()
    first = client.put_object(Bucket=BUCKET, Key="k", Body=b"one")["VersionId"]
    second = client.put_object(Bucket=BUCKET, Key="k", Body=b"two")["VersionId"]
    client.put_object_retention(
        Bucket=BUCKET, Key="k", VersionId=second, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": SOON}
    )
    client.delete_object(Bucket=BUCKET, Key="k", VersionId=second, BypassGovernanceRetention=True)
    region.kill()
    region.start()
    client = region.client()
    assert client.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"one"
    assert client.head_object(Bucket=BUCKET, Key="k")["VersionId"] == first


def test_many_locks_survive_a_kill_without_rewriting_them_all_each_time(region: LocalRegion) -> None:
    client = region.client()
    for number in range(200):
        client.put_object(Bucket=BUCKET, Key=f"many/{number}", Body=b"x")
        client.put_object_retention(
            Bucket=BUCKET, Key=f"many/{number}", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": SOON}
        )
    journal = region.home / "locks.jsonl"
    assert len(journal.read_text().splitlines()) == 200
    region.kill()
    with journal.open("a") as file:
        file.write('["retention","000000000000",["vault","many/0"')  # cut off in the middle of a write
    region.start()
    client = region.client()
    modes = {client.head_object(Bucket=BUCKET, Key=f"many/{n}").get("ObjectLockMode") for n in range(200)}
    assert modes == {"COMPLIANCE"}
    assert all(len(json.loads(line)) == 4 for line in journal.read_text().splitlines())


def test_a_body_whose_write_was_never_answered_does_not_come_back(region: LocalRegion) -> None:
    client = region.client()
    client.put_object(Bucket=BUCKET, Key="whole", Body=b"whole")
    region.kill()
    folder = next((region.home / "data").rglob("whole")).parent
    (folder / "half").write_bytes(b"half")
    (folder / "half2.tmp").write_bytes(b"half")
    region.start()
    listed = region.client().list_objects_v2(Bucket=BUCKET)
    assert [o["Key"] for o in listed["Contents"]] == ["whole"]


def test_displaced_versions_are_not_taken_for_unanswered_writes(tmp_path: Path) -> None:
    kept = tmp_path / ".versions" / "000000000000" / BUCKET / "v1" / "key"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"old")
    assert drop_unanswered_writes(tmp_path) == 0
    assert kept.exists()


def test_a_wrong_secret_is_refused(region: LocalRegion) -> None:
    with pytest.raises(ClientError) as caught:
        client_with(region, region.access_key, "wrong").list_buckets()
    assert code_of(caught) == (403, "SignatureDoesNotMatch")


def test_an_unknown_key_is_refused(region: LocalRegion) -> None:
    with pytest.raises(ClientError) as caught:
        client_with(region, "TWNOBODY", region.secret_key).put_object(Bucket=BUCKET, Key="x", Body=b"x")
    assert code_of(caught) == (403, "InvalidAccessKeyId")


def test_unsigned_requests_and_admin_pages_are_refused(region: LocalRegion) -> None:
    for path in (f"/{BUCKET}", "/_ministack/reset", "/_ministack/health"):
        answer = httpx.post(region.endpoint_url + path)
        assert answer.status_code == 403, path
        assert "<Code>AccessDenied</Code>" in answer.text


def test_a_presigned_address_is_refused(region: LocalRegion) -> None:
    region.client().put_object(Bucket=BUCKET, Key="x", Body=b"x")
    address = region.client().generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "x"})
    assert httpx.get(address).status_code == 403


def test_a_replayed_signature_does_not_fit_another_request(region: LocalRegion) -> None:
    client = region.client()
    stolen: dict[str, str] = {}

    def keep(request: object, **_: object) -> None:
        stolen.update(
            {str(k): v.decode() if isinstance(v, bytes) else str(v) for k, v in request.headers.items()}
        )  # type: ignore[attr-defined]

    client.meta.events.register("before-send.s3.PutObject", keep)
    client.put_object(Bucket=BUCKET, Key="mine", Body=b"first")
    stolen.pop("Expect", None)
    other_key = httpx.put(f"{region.endpoint_url}/{BUCKET}/other", content=b"first", headers=stolen)
    other_body = httpx.put(f"{region.endpoint_url}/{BUCKET}/mine", content=b"FIRST", headers=stolen)
    assert (other_key.status_code, "SignatureDoesNotMatch" in other_key.text) == (403, True)
    assert (other_body.status_code, "XAmzContentSHA256Mismatch" in other_body.text) == (400, True)


@pytest.mark.parametrize("key", ["plain", "with space", "a+b/c&d=e", "观潮/评论 #1.json", "x?y", "dots/..."])
def test_odd_keys_pass_the_signature_check(region: LocalRegion, key: str) -> None:
    client = region.client()
    client.put_object(Bucket=BUCKET, Key=key, Body=key.encode(), Metadata={"note": "a  b"})
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=key)
    assert [o["Key"] for o in listed["Contents"]] == [key]


def test_a_wrong_checksum_is_refused(region: LocalRegion) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    with pytest.raises(ClientError):
        region.client().put_object(Bucket=BUCKET, Key="x", Body=b"body", ChecksumSHA256=wrong)


def test_a_chunked_upload_as_other_clients_send_it_is_stored_without_its_framing(region: LocalRegion) -> None:
    client = client_with(region, region.access_key, region.secret_key)

    def chunked(request: object, **_: object) -> None:
        request.headers["x-amz-content-sha256"] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"  # type: ignore[attr-defined]
        request.headers["x-amz-decoded-content-length"] = "5"  # type: ignore[attr-defined]
        request.headers["content-encoding"] = "aws-chunked"  # type: ignore[attr-defined]
        request.context["payload_signing_enabled"] = False  # type: ignore[attr-defined]

    client.meta.events.register("before-sign.s3.PutObject", chunked)
    client.put_object(Bucket=BUCKET, Key="c", Body=b"5\r\nhello\r\n0\r\n\r\n")
    assert region.client().get_object(Bucket=BUCKET, Key="c")["Body"].read() == b"hello"


def test_bodies_do_not_pile_up_in_the_servers_memory(region: LocalRegion) -> None:
    assert region.daemon is not None
    client = region.client()
    body = secrets.token_bytes(8 << 20)
    client.put_object(Bucket=BUCKET, Key="warm", Body=body)
    process = psutil.Process(region.daemon.pid)
    before = process.memory_info().rss
    for number in range(12):
        client.put_object(Bucket=BUCKET, Key=f"big/{number}", Body=body)
    assert process.memory_info().rss - before < 50 << 20, "12 objects of 8 MiB stayed in memory"


def test_it_listens_on_one_loopback_port_and_nothing_else(region: LocalRegion) -> None:
    assert region.daemon is not None
    found = psutil.Process(region.daemon.pid).net_connections(kind="inet")
    assert {(c.laddr.ip, c.laddr.port) for c in found if c.status == "LISTEN"} == {("127.0.0.1", region.port)}


def test_another_port_is_taken_when_the_old_one_is_in_use(region: LocalRegion) -> None:
    region.client().put_object(Bucket=BUCKET, Key="x", Body=b"x")
    region.stop()
    old = region.port
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", old or 0))
        taken.listen()
        region.start()
        assert region.port != old
        assert region.client().get_object(Bucket=BUCKET, Key="x")["Body"].read() == b"x"


def test_a_server_whose_record_was_lost_is_not_left_running_beside_the_new_one(region: LocalRegion) -> None:
    first = region.daemon
    assert first is not None
    (region.home / "s3.json").unlink()
    again = LocalRegion(region.name, region.home)
    again.start()
    assert not processes.alive(first)
    again.stop()


def test_keys_are_private_and_differ_between_regions(region: LocalRegion, tmp_path: Path) -> None:
    other = LocalRegion("other", tmp_path / "other")
    assert other.access_key != region.access_key
    assert other.secret_key != region.secret_key
    assert (region.home / "keys.json").stat().st_mode & 0o777 == 0o600
    assert region.secret_key not in region.log.read_text()
