"""A signed head pins the ledger; a changed or foreign one is refused."""

from datetime import timedelta, timezone

import pytest
from ledger_tools import NOW, add
from pydantic import ValidationError

from tidewatch.core.database import connect
from tidewatch.core.errors import IntegrityError
from tidewatch.core.signing import SigningKey
from tidewatch.evidence.anchor import SignedHead, sign_head, signed_bytes, verify_head
from tidewatch.evidence.ledger import GENESIS, Head, head, verify

KEY = SigningKey.generate()
HEAD = Head(7, "ab" * 32)


def test_a_signed_head_survives_json_and_verifies() -> None:
    signed = sign_head(HEAD, KEY, NOW)
    back = SignedHead.model_validate_json(signed.model_dump_json())
    assert back == signed
    assert verify_head(back, KEY.public) == HEAD
    assert signed.signature.key_id == KEY.public.key_id


def test_the_signed_bytes_are_the_documented_ones() -> None:
    assert signed_bytes(HEAD, NOW) == (
        b'{"hash":"' + b"ab" * 32 + b'","purpose":"tidewatch.ledger.head.v1","seq":7,'
        b'"signed_at":"2026-11-22T03:04:05.678901Z"}'
    )


def test_the_time_in_the_json_is_the_time_that_was_signed() -> None:
    whole_second = NOW.replace(microsecond=0)
    signed = sign_head(HEAD, KEY, whole_second)
    assert signed.model_dump(mode="json")["signed_at"] == "2026-11-22T03:04:05.000000Z"
    assert b'"2026-11-22T03:04:05.000000Z"' in signed_bytes(HEAD, whole_second)
    assert verify_head(SignedHead.model_validate_json(signed.model_dump_json()), KEY.public) == HEAD


def test_a_head_signed_in_another_time_zone_is_the_same_instant() -> None:
    signed = sign_head(HEAD, KEY, NOW.astimezone(timezone(timedelta(hours=8))))
    assert signed == sign_head(HEAD, KEY, NOW)


@pytest.mark.parametrize(
    "change",
    [{"seq": 6}, {"hash": "ba" * 32}, {"signed_at": (NOW + timedelta(microseconds=1)).isoformat()}],
)
def test_a_head_changed_after_signing_is_refused(change: dict[str, object]) -> None:
    signed = SignedHead.model_validate({**sign_head(HEAD, KEY, NOW).model_dump(), **change})
    with pytest.raises(IntegrityError, match="does not fit what it signs"):
        verify_head(signed, KEY.public)


def test_a_head_signed_by_another_key_is_refused_also_under_our_key_id() -> None:
    foreign = sign_head(HEAD, SigningKey.generate(), NOW)
    with pytest.raises(IntegrityError, match="another key"):
        verify_head(foreign, KEY.public)
    named = foreign.model_copy(
        update={"signature": foreign.signature.model_copy(update={"key_id": KEY.public.key_id})}
    )
    with pytest.raises(IntegrityError, match="does not fit"):
        verify_head(named, KEY.public)


def test_a_signature_over_the_bare_head_is_no_anchor() -> None:
    from tidewatch.core.canonical import canonical_bytes

    other = KEY.sign(canonical_bytes({"hash": HEAD.hash, "seq": HEAD.seq}))
    signed = sign_head(HEAD, KEY, NOW)
    forged = signed.model_copy(
        update={"signature": signed.signature.model_copy(update={"value": other.value})}
    )
    with pytest.raises(IntegrityError):
        verify_head(forged, KEY.public)


@pytest.mark.parametrize(
    "change",
    [
        {"seq": -1},
        {"hash": "AB" * 32},
        {"signed_at": "2026-11-22T03:04:05"},
        {"extra": 1},
        {"signature": None},
    ],
)
def test_a_malformed_signed_head_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SignedHead.model_validate({**sign_head(HEAD, KEY, NOW).model_dump(mode="json"), **change})


def test_the_head_of_a_ledger_goes_through_an_anchor_and_back_into_verify(warehouse: str) -> None:
    with connect(warehouse, application_name="tests") as conn:
        assert verify_head(sign_head(head(conn), KEY, NOW), KEY.public) == Head(0, GENESIS)
        add(conn, 1)
        anchored = verify_head(sign_head(head(conn), KEY, NOW), KEY.public)
        add(conn, 2)
        assert verify(conn, expect=anchored).ok
