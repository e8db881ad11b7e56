"""Secrets do not survive in text, and ordinary text is left as it is."""

import io
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from tidewatch.core.redaction import install_log_redaction, redact

AROUND = (
    'cannot connect: "login": "backup", "password": "host": "db1", "extra": {} "port": 5432 postgresql token'
)
# Six characters and more, so that finding one in the rest of the text is no accident; without the three stars
# that stand for what was taken out.
PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=6, max_size=40).filter(
    lambda p: "***" not in p and "://" not in p and not any(c.isspace() for c in p) and p not in AROUND
)
SPACED = st.tuples(PASSWORDS, PASSWORDS).map(" ".join)


def pieces(password: str) -> list[str]:
    return [p for p in password.split(" ") if len(p) >= 6]


@given(PASSWORDS | SPACED)
def test_a_password_in_a_libpq_connection_string_is_masked(password: str) -> None:
    dsn = make_conninfo(host="db1", user="backup", password=password, dbname="ops")
    clean = redact(f"cannot connect: {dsn} (try 3)")
    assert password not in clean
    assert "user=backup" in clean


@given(PASSWORDS | SPACED)
def test_a_password_in_json_is_masked_also_inside_of_json(password: str) -> None:
    inner = json.dumps({"login": "backup", "password": password, "host": "db1"})
    for text in (inner, json.dumps({"extra": inner}), json.dumps([json.dumps({"password": password})])):
        assert json.dumps(password)[1:-1] not in redact(text)
        assert not [p for p in pieces(password) if p in redact(text)]


@given(PASSWORDS | SPACED)
def test_a_password_in_a_python_repr_is_masked(password: str) -> None:
    clean = redact(repr({"login": "backup", "password": password, "port": 5432}))
    assert password not in clean
    assert "'port': 5432" in clean


@given(PASSWORDS.filter(lambda p: not p[0].isdigit()))
def test_a_password_in_a_url_is_masked_escaped_or_not(password: str) -> None:
    escaped = quote(password, safe="")
    clean = redact(f"at postgresql://backup:{escaped}@db1:5432/ops?sslmode=require now")
    assert clean == "at postgresql://backup:***@db1:5432/ops?sslmode=require now"
    assert password not in redact(f"at postgresql://backup:{password}@db1:5432/ops now")


@given(st.text())
def test_redacting_any_text_ends_well(text: str) -> None:
    assert isinstance(redact(text), str)


@pytest.mark.parametrize("password", ['""0000', "''0000", '"a"b"c"d', "'a'b"])
def test_a_password_that_begins_with_quotes_is_masked_to_its_end(password: str) -> None:
    assert redact(f"password={password} x") == "password=*** x"


@given(PASSWORDS)
def test_redacting_twice_is_redacting_once(password: str) -> None:
    for text in (
        f"password={password} x",
        f'{{"token": "{quote(password)}", "b": 1}}',
        f"a://b:{password}@h",
    ):
        assert redact(redact(text)) == redact(text)


SECRETS = {
    "dingtalk://tok3n0fDing/": "tok3n0fDing",
    "no answer from slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcO": "TIiajkdnlazkcO",
    "wecombot://bot-key-1234 refused": "bot-key-1234",
    "mailtos://me:mail-pass@example.com?to=x": "mail-pass",
    "Max retries exceeded with url: /services/T00000/B00000/XXXsecretXXX (Caused by": "XXXsecretXXX",
    "https://oapi.dingtalk.com/robot/send?access_token=abc0secret": "abc0secret",
    "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=693a0secret": "693a0secret",
    "https://open.feishu.cn/open-apis/bot/v2/hook/0secret-hook": "0secret-hook",
    "https://api.telegram.org/bot123:secretABC/sendMessage": "secretABC",
    "https://discord.com/api/webhooks/4321/discord-secret": "discord-secret",
    "https://ghp0token@github.com/x": "ghp0token",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "wJalrXUtnFEMI/K7MDENG",
    "secret_key: 'a b c' and": "a b c",
    "AKIAIOSFODNN7EXAMPLE was refused": "IOSFODNN7EXAMPLE",
    "x-amz-security-token: FwoGZXIvYXdzEBYa": "FwoGZXIvYXdzEBYa",
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/1/s3, Signature=fe5f80f77d5fa3be": "fe5f80f77d5fa3be",
    "{'Authorization': 'Basic dXNlcjpwYXNz', 'a': 1}": "dXNlcjpwYXNz",
    "sent Bearer abcdef0123456789 to": "abcdef0123456789",
    "https://b.s3/k?X-Amz-Credential=AK%2F1&X-Amz-Signature=1234abcd&x=1": "1234abcd",
    "AGE-SECRET-KEY-1QQPQZRFR7ZZ2WCV": "1QQPQZRFR7ZZ2WCV",
    "age-secret-key-1qqpqzrfr7zz2wcv": "1qqpqzrfr7zz2wcv",
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----": "MC4CAQAwBQYDK2Vw",
    "-----BEGIN EC PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw (cut": "MC4CAQAwBQYDK2Vw",
    "PGPASSWORD=hunter2 pg_dump": "hunter2",
    "pg_dump --password hunter2 --host h": "hunter2",
    "password='cut in the mid": "cut in the mid",
    "密码：口令12345 已失效": "口令12345",
    'secret": {"token": "abc123"}': "abc123",
    "redis://:p/w@host:6379/0": "p/w",
}


@pytest.mark.parametrize(("text", "secret"), SECRETS.items(), ids=range(len(SECRETS)))
def test_a_secret_in_a_known_shape_is_masked(text: str, secret: str) -> None:
    clean = redact(text)
    assert secret not in clean
    assert "***" in clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        'FATAL: password authentication failed for user "backup"',
        "see http://127.0.0.1:9000/bucket/a@b.txt and http://[::1]:9000/x@y",
        "postgresql://backup@db1:5432/ops",
        "s3://bucket/key@2026 and file:///var/lib/a and tidewatch://backup/ops",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "max_tokens: 5, key_id=ab12cd34ef567890",
        "no password is given. What to do: set login and password",
        "{'login': 'x', 'password': None}",
        "2026-11-22T16:00:00Z cn-east: 3 of 3 parts, 12.1 MB/s",
        "Bearer authentication is needed",
        "mail to someone@example.com",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    ],
)
def test_text_without_a_secret_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("unit", ["a", "://a:", "password=", "'", 'password=\\"', "x://", "bearer "])
def test_long_text_does_not_take_long(unit: str) -> None:
    from time import process_time

    start = process_time()
    redact(unit * (300_000 // len(unit)))
    assert process_time() - start < 3


@pytest.fixture
def handler() -> Iterator[io.StringIO]:
    """What a handler wrote that knows nothing of redaction, on a logger of its own."""
    factory = logging.getLogRecordFactory()
    stream = io.StringIO()
    logger = logging.getLogger("tidewatch.test.redaction")
    logger.propagate = False
    # Airflow's logging set-up, in another test of this process, silences loggers that exist already.
    logger.disabled = False
    logger.setLevel(logging.INFO)
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    install_log_redaction()
    yield stream
    logger.removeHandler(handler)
    logging.setLogRecordFactory(factory)


def test_logs_are_redacted_with_their_arguments_and_tracebacks(handler: io.StringIO) -> None:
    logger = logging.getLogger("tidewatch.test.redaction")
    logger.warning("connecting to %s", "postgresql://u:hunter2@h/db")
    try:
        raise ValueError("bad password=hunter2")
    except ValueError:
        logger.exception("it failed")
    assert "hunter2" not in handler.getvalue()
    assert "ValueError: bad password=***" in handler.getvalue()
    assert "connecting to postgresql://u:***@h/db" in handler.getvalue()


def test_a_log_call_with_the_wrong_arguments_does_not_stop_the_program(handler: io.StringIO) -> None:
    logging.raiseExceptions, before = False, logging.raiseExceptions
    try:
        logging.getLogger("tidewatch.test.redaction").warning("%d parts", "three")
    finally:
        logging.raiseExceptions = before
    logging.getLogger("tidewatch.test.redaction").warning("and went on")
    assert "and went on" in handler.getvalue()


def test_installing_log_redaction_twice_changes_nothing(handler: io.StringIO) -> None:
    factory = logging.getLogRecordFactory()
    install_log_redaction()
    assert logging.getLogRecordFactory() is factory
