"""A stand-in for a store with free bytes: a measuring instrument, not a product.

    .venv/bin/python benchmarks/endpoint.py [--port N] [--memory-gib 14] [--reserve-gib 1]

It speaks enough S3 for boto3, curl and restic, keeps every body in memory, and does as little with it as can
be done: no signature is checked, nothing hashed (a checksum that a client sends is kept and told again, an
ETag is a number), no disk. Buckets come into being when they are named, are versioned and keep locks, which
it tells but does not enforce. What a benchmark measures against it is the client. The first line
printed is the port.

GET /-/usage answers its own CPU seconds, calls and bytes as JSON; POST /-/forget empties it.
"""

import argparse
import base64
import hashlib
import json
import re
import resource
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape

from endpoint_store import Arena, Body, Bucket, Full, Store, Upload, Version
from endpoint_wire import Request, Wire, checksums, row, tag, timestamp, unescape, xml

Handler = Callable[[Request, Bucket], None]


class Endpoint:
    """Answers requests. One thread a connection; the heavy calls run outside Python's lock."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def serve(self, listener: socket.socket) -> None:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._connection, args=(sock,), daemon=True).start()

    def _connection(self, sock: socket.socket) -> None:
        wire = Wire(sock)
        try:
            while (head := wire.head()) is not None:
                request = Request(wire, head)
                self._answer(request)
                request.drain(self.store)
        except ConnectionError:
            pass  # the client's affair
        except Full:
            wire.send(b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        finally:
            sock.close()

    def _answer(self, r: Request) -> None:
        if r.bucket == "-":
            return self._instrument(r)
        handler = self._object_call(r) if r.key else self._bucket_call(r)
        self.store.calls[handler.__name__.lstrip("_")] += 1
        handler(r, self.store.buckets.setdefault(r.bucket, Bucket()))

    def _instrument(self, r: Request) -> None:
        if r.method == "POST":
            self.store.forget()
        used, store = resource.getrusage(resource.RUSAGE_SELF), self.store
        facts = {
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "calls": dict(store.calls),
            "bytes_in": store.bytes_in,
            "bytes_out": store.bytes_out,
        }
        self._reply(r, 200, {"Content-Type": "application/json"}, json.dumps(facts).encode())

    # -- which call is it ----------------------------------------------------------------------------------

    def _bucket_call(self, r: Request) -> Handler:
        if r.method == "POST" and "delete" in r.query:
            return self._delete_objects
        if r.method != "GET":
            return self._nothing
        calls: dict[str, Handler] = {
            "versioning": self._versioning,
            "object-lock": self._lock_configuration,
            "location": self._location,
            "versions": self._list_versions,
            "uploads": self._list_uploads,
        }
        return next((call for name, call in calls.items() if name in r.query), self._list)

    def _object_call(self, r: Request) -> Handler:
        calls: dict[tuple[str, str], Handler] = {
            ("PUT", "partNumber"): self._upload_part,
            ("PUT", "retention"): self._put_retention,
            ("GET", "retention"): self._get_retention,
            ("GET", "uploadId"): self._list_parts,
            ("POST", "uploads"): self._create_upload,
            ("POST", "uploadId"): self._complete_upload,
            ("DELETE", "uploadId"): self._abort_upload,
        }
        for (method, name), call in calls.items():
            if method == r.method and name in r.query:
                return call
        plain: dict[str, Handler] = {
            "PUT": self._put,
            "GET": self._get,
            "HEAD": self._get,
            "DELETE": self._delete,
        }
        return plain.get(r.method, self._nothing)

    # -- objects -------------------------------------------------------------------------------------------

    def _put(self, r: Request, bucket: Bucket) -> None:
        self._keep(r, bucket, [r.body(self.store)], checksums(r.headers))

    def _keep(self, r: Request, bucket: Bucket, bodies: list[Body], sums: dict[str, str]) -> None:
        version = Version(self.store.new_id(), f'"{self.store.new_id()}"', bodies, sums)
        version.lock_mode = r.headers.get("x-amz-object-lock-mode")
        version.retain_until = r.headers.get("x-amz-object-lock-retain-until-date")
        with self.store.lock:
            taken = r.headers.get("if-none-match") == "*" and bucket.current(r.key) is not None
            if not taken:
                bucket.objects.setdefault(r.key, []).append(version)
                bucket.uploads.pop(r.query.get("uploadId", ""), None)
        if taken:
            return self._error(r, 412, "PreconditionFailed")
        done = f"<Key>{escape(r.key)}</Key><ETag>{version.etag}</ETag>"
        document = xml("CompleteMultipartUploadResult", done) if r.method == "POST" else b""
        self._reply(r, 200, {"ETag": version.etag, "x-amz-version-id": version.version_id} | sums, document)

    def _get(self, r: Request, bucket: Bucket) -> None:
        version = self._found(r, bucket)
        if version is None:
            return
        start, end, status = 0, version.size, 200
        headers = {
            "ETag": version.etag,
            "x-amz-version-id": version.version_id,
            "Last-Modified": format_datetime(version.modified, usegmt=True),
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if span := re.fullmatch(r"bytes=(\d*)-(\d*)", r.headers.get("range", "")):
            first, last = span.groups()
            start = int(first) if first else max(0, version.size - int(last))
            end = min(version.size, int(last) + 1) if first and last else version.size
            if start >= version.size:
                return self._error(r, 416, "InvalidRange")
            status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{version.size}"
        if r.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            headers |= version.checksums
        if version.lock_mode and version.retain_until:
            headers["x-amz-object-lock-mode"] = version.lock_mode
            headers["x-amz-object-lock-retain-until-date"] = version.retain_until
        self._head(r, status, headers, end - start)
        if r.method == "GET":
            self._send(r, version, start, end)

    def _send(self, r: Request, version: Version, start: int, end: int) -> None:
        for piece in version.pieces(start, end):
            if isinstance(piece, tuple):
                r.wire.send_file(self.store.arena.fd, *piece)
            else:
                r.wire.send(piece)
        self.store.bytes_out += end - start

    def _delete(self, r: Request, bucket: Bucket) -> None:
        self._remove(bucket, r.key, r.query.get("versionId"))
        self._reply(r, 204, {})

    def _delete_objects(self, r: Request, bucket: Bucket) -> None:
        rows = re.findall(r"<Object>(.*?)</Object>", r.text(self.store), re.DOTALL)
        for one in rows:
            self._remove(bucket, unescape(tag(one, "Key") or ""), tag(one, "VersionId"))
        gone = "".join(f"<Deleted><Key>{tag(one, 'Key')}</Key></Deleted>" for one in rows)
        self._reply(r, 200, {}, xml("DeleteResult", gone))

    def _remove(self, bucket: Bucket, key: str, version_id: str | None) -> None:
        with self.store.lock:
            versions = bucket.objects.get(key, [])
            if version_id is None and versions:
                versions.append(Version(self.store.new_id(), "", [], marker=True))
            else:
                versions[:] = [v for v in versions if v.version_id != version_id]
            if not versions:
                bucket.objects.pop(key, None)

    def _put_retention(self, r: Request, bucket: Bucket) -> None:
        text = r.text(self.store)
        if (version := self._found(r, bucket)) is not None:
            version.lock_mode, version.retain_until = tag(text, "Mode"), tag(text, "RetainUntilDate")
            self._reply(r, 200, {})

    def _get_retention(self, r: Request, bucket: Bucket) -> None:
        version = self._found(r, bucket)
        if version is None:
            return
        if not version.lock_mode:
            return self._error(r, 404, "NoSuchObjectLockConfiguration")
        mode = f"<Mode>{version.lock_mode}</Mode><RetainUntilDate>{version.retain_until}</RetainUntilDate>"
        self._reply(r, 200, {}, xml("Retention", mode))

    def _found(self, r: Request, bucket: Bucket) -> Version | None:
        version = bucket.find(r.key, r.query.get("versionId"))
        if version is None or version.marker:
            self._error(r, 404, "NoSuchVersion" if "versionId" in r.query else "NoSuchKey")
            return None
        return version

    # -- uploads in parts ----------------------------------------------------------------------------------

    def _create_upload(self, r: Request, bucket: Bucket) -> None:
        upload_id = self.store.new_id()
        bucket.uploads[upload_id] = Upload(r.key)
        self._reply(r, 200, {}, xml("InitiateMultipartUploadResult", f"<UploadId>{upload_id}</UploadId>"))

    def _upload(self, r: Request, bucket: Bucket) -> Upload | None:
        upload = bucket.uploads.get(r.query["uploadId"])
        if upload is None:
            self._error(r, 404, "NoSuchUpload")
        return upload

    def _upload_part(self, r: Request, bucket: Bucket) -> None:
        body = r.body(self.store)
        if (upload := self._upload(r, bucket)) is None:
            return
        etag, sums = f'"{self.store.new_id()}"', checksums(r.headers)
        upload.parts[int(r.query["partNumber"])] = (body, etag, sums.get("x-amz-checksum-sha256"))
        self._reply(r, 200, {"ETag": etag} | sums)

    def _complete_upload(self, r: Request, bucket: Bucket) -> None:
        numbers = [int(n) for n in re.findall(r"<PartNumber>(\d+)</PartNumber>", r.text(self.store))]
        if (upload := self._upload(r, bucket)) is None:
            return
        if not numbers or any(n not in upload.parts for n in numbers):
            return self._error(r, 400, "InvalidPart")
        parts = [upload.parts[n] for n in numbers]
        sums = {}
        if all(digest for _, _, digest in parts):
            whole = hashlib.sha256(b"".join(base64.b64decode(d or "") for _, _, d in parts)).digest()
            sums["x-amz-checksum-sha256"] = f"{base64.b64encode(whole).decode()}-{len(parts)}"
        self._keep(r, bucket, [body for body, _, _ in parts], sums)

    def _abort_upload(self, r: Request, bucket: Bucket) -> None:
        if bucket.uploads.pop(r.query["uploadId"], None) is None:
            return self._error(r, 404, "NoSuchUpload")
        self._reply(r, 204, {})

    def _list_parts(self, r: Request, bucket: Bucket) -> None:
        if (upload := self._upload(r, bucket)) is None:
            return
        rows = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag><Size>{body.size}</Size></Part>"
            for n, (body, etag, _) in sorted(upload.parts.items())
        )
        self._reply(r, 200, {}, xml("ListPartsResult", rows))

    # -- buckets -------------------------------------------------------------------------------------------

    def _list(self, r: Request, bucket: Bucket) -> None:
        prefix, delimiter = r.query.get("prefix", ""), r.query.get("delimiter", "")
        after = r.query.get("continuation-token") or r.query.get("start-after", "")
        limit = int(r.query.get("max-keys", 1000))
        rows: dict[str, str] = {}
        with self.store.lock:
            for key in sorted(k for k in bucket.objects if k.startswith(prefix)):
                folder, inside, _ = key[len(prefix) :].partition(delimiter or "\0")
                if (version := bucket.current(key)) is None:
                    continue
                if inside:
                    name = prefix + folder + delimiter
                    rows[name] = f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
                else:
                    rows[key] = f"<Contents>{row(key, version)}</Contents>"
        names = [name for name in rows if name > after]
        more = len(names) > limit
        token = f"<NextContinuationToken>{escape(names[limit - 1])}</NextContinuationToken>" if more else ""
        names = names[:limit]
        head = f"<IsTruncated>{str(more).lower()}</IsTruncated><KeyCount>{len(names)}</KeyCount>{token}"
        self._reply(r, 200, {}, xml("ListBucketResult", head + "".join(rows[n] for n in names)))

    def _list_versions(self, r: Request, bucket: Bucket) -> None:
        prefix = r.query.get("prefix", "")
        rows = ["<IsTruncated>false</IsTruncated>"]
        with self.store.lock:
            for key in sorted(k for k in bucket.objects if k.startswith(prefix)):
                for place, version in enumerate(reversed(bucket.objects[key])):
                    kind = "DeleteMarker" if version.marker else "Version"
                    latest = f"<IsLatest>{str(place == 0).lower()}</IsLatest>"
                    number = f"<VersionId>{version.version_id}</VersionId>"
                    rows.append(f"<{kind}>{row(key, version)}{number}{latest}</{kind}>")
        self._reply(r, 200, {}, xml("ListVersionsResult", "".join(rows)))

    def _list_uploads(self, r: Request, bucket: Bucket) -> None:
        begun = f"<Initiated>{timestamp(datetime.now(UTC))}</Initiated>"
        rows = "".join(
            f"<Upload><Key>{escape(u.key)}</Key><UploadId>{i}</UploadId>{begun}</Upload>"
            for i, u in list(bucket.uploads.items())
            if u.key.startswith(r.query.get("prefix", ""))
        )
        document = "<IsTruncated>false</IsTruncated>" + rows
        self._reply(r, 200, {}, xml("ListMultipartUploadsResult", document))

    def _versioning(self, r: Request, _: Bucket) -> None:
        self._reply(r, 200, {}, xml("VersioningConfiguration", "<Status>Enabled</Status>"))

    def _lock_configuration(self, r: Request, _: Bucket) -> None:
        enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
        self._reply(r, 200, {}, xml("ObjectLockConfiguration", enabled))

    def _location(self, r: Request, _: Bucket) -> None:
        self._reply(r, 200, {}, xml("LocationConstraint", ""))

    def _nothing(self, r: Request, _: Bucket) -> None:
        """HEAD and PUT of a bucket, and whatever else needs no more than a yes."""
        self._reply(r, 200, {})

    # -- answers -------------------------------------------------------------------------------------------

    def _error(self, r: Request, status: int, code: str) -> None:
        self._reply(r, status, {}, xml("Error", f"<Code>{code}</Code><Message>{code}</Message>"))

    def _reply(self, r: Request, status: int, headers: dict[str, str], document: bytes = b"") -> None:
        r.drain(self.store)
        self._head(r, status, headers, len(document), b"" if r.method == "HEAD" else document)

    def _head(
        self, r: Request, status: int, headers: dict[str, str], size: int, document: bytes = b""
    ) -> None:
        lines = [f"HTTP/1.1 {status} {'OK' if status < 300 else 'No'}", f"Content-Length: {size}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        r.wire.send("\r\n".join([*lines, "", ""]).encode("latin-1") + document)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--memory-gib", type=float, default=14.0, help="what it can hold at most")
    parser.add_argument("--reserve-gib", type=float, default=0.0, help="touched at the start")
    given = parser.parse_args()
    arena = Arena(int(given.memory_gib * 2**30), int(given.reserve_gib * 2**30))
    listener = socket.create_server(("127.0.0.1", given.port), backlog=128)
    print(listener.getsockname()[1], flush=True)
    Endpoint(Store(arena)).serve(listener)


if __name__ == "__main__":
    main()
