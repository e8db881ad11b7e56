"""Checks the AWS Signature Version 4 of a request with botocore's own signer.

Header signatures only: presigned addresses and anonymous requests are refused. The signature is recomputed
over exactly the headers that the client says it signed; `x-amz-content-sha256` is part of them, and the
caller compares it with the body.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPMessage

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)"
    r"/(?P<service>[^/,\s]+)/aws4_request\s*,\s*SignedHeaders=(?P<signed>[^,\s]+)\s*,\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_ALLOWED_SKEW = timedelta(minutes=15)


@dataclass(frozen=True)
class Refusal:
    """An S3 error answer."""

    status: int
    code: str
    message: str


@dataclass(frozen=True)
class SignedRequest:
    """What the client sent. `raw_path` and `query` as on the wire; header names in lower case."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]


class _Recompute(S3SigV4Auth):
    """The signer, told which headers the client signed and to leave the path as it came."""

    def __init__(self, credentials: Credentials, service: str, region: str, signed: list[str]) -> None:
        super().__init__(credentials, service, region)
        self._signed = signed

    def headers_to_sign(self, request: AWSRequest) -> HTTPMessage:
        message = HTTPMessage()
        for name in self._signed:
            message[name] = request.headers.get(name, "")
        return message

    def _normalize_url_path(self, path: str) -> str:
        return path


def check(request: SignedRequest, keys: Mapping[str, str], now: datetime) -> Refusal | str:
    """The region the request was signed for, or why it is refused. `keys`: access key -> secret key."""
    text = request.headers.get("authorization", "")
    if not text:
        return Refusal(403, "AccessDenied", "Access Denied: requests must be signed.")
    match = _AUTHORIZATION.fullmatch(text.strip())
    if match is None:
        return Refusal(400, "AuthorizationHeaderMalformed", "The authorization header is malformed.")
    secret = keys.get(match["key"])
    if secret is None:
        return Refusal(
            403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
        )
    signed = match["signed"].split(";")
    if match["service"] != "s3" or "host" not in signed:
        return Refusal(403, "SignatureDoesNotMatch", "The credential scope or the signed headers are wrong.")
    stamp = _timestamp(request.headers.get("x-amz-date", ""))
    if stamp is None or stamp.strftime("%Y%m%d") != match["date"]:
        return Refusal(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header.")
    if abs(now - stamp) > _ALLOWED_SKEW:
        return Refusal(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the server's is too large.",
        )
    signer = _Recompute(Credentials(match["key"], secret), "s3", match["region"], signed)
    aws = AWSRequest(method=request.method, url=_url(request), headers=dict(request.headers))
    aws.context["timestamp"] = request.headers["x-amz-date"]
    expected = signer.signature(signer.string_to_sign(aws, signer.canonical_request(aws)), aws)
    if not hmac.compare_digest(expected, match["signature"]):
        return Refusal(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature "
            "you provided. Check your key and signing method.",
        )
    return match["region"]


def _url(request: SignedRequest) -> str:
    return f"http://{request.headers.get('host', '')}{request.raw_path}" + (
        f"?{request.query}" if request.query else ""
    )


def _timestamp(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
