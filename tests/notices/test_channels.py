"""Channels: real messages to real receivers, and errors that name the channel and never its address."""

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from catchers import HttpCatcher, MailCatcher, free_port
from notice_tools import channel, no_connections, notice

from tidewatch.core.config import read_yaml
from tidewatch.core.connections import Connection
from tidewatch.core.errors import ConfigError
from tidewatch.core.settings import load_settings
from tidewatch.notices.channels import Channel, NoticesFile, open_channels
from tidewatch.notices.refusals import read_answers

TOKEN = "f1d2c3b4a5968778"


def plain(message: Any) -> str:
    return str(message.get_content()).replace("\r\n", "\n")


def test_a_mail_arrives_as_plain_text_with_the_chinese_subject(mail: MailCatcher) -> None:
    assert channel(mail.url).send(notice()) is None
    (message,) = mail.messages
    assert message["Subject"] == "[观潮 警告] 备份 ops 只有两份 / Backup ops has two copies only"
    assert "on-call@example.com" in message["To"]
    assert message.get_content_type() == "text/plain"
    assert "现在要处理吗：不需要" in plain(message)
    assert "Next step: Wait for the hourly heal" in plain(message)


def test_hostile_text_makes_neither_a_header_nor_markup(mail: MailCatcher) -> None:
    hostile = "lost\r\nBcc: victim@example.com\r\n\r\n<script>alert(1)</script> *bold* &amp; :smile: \\n"
    assert channel(mail.url).send(notice(title_zh=hostile, title_en=hostile, body_en=hostile)) is None
    (message,) = mail.messages
    assert message["Bcc"] is None
    assert message.get_content_type() == "text/plain"
    assert "<script>alert(1)</script> *bold* &amp; :smile: \\n" in plain(message)
    assert b"\nBcc:" not in mail.raw[0].split(b"\r\n\r\n")[0]


def test_a_webhook_gets_title_text_and_severity(http: HttpCatcher) -> None:
    assert channel(http.url, language="en").send(notice(severity="critical")) is None
    (received,) = http.received
    assert received["title"] == "[Tidewatch CRITICAL] Backup ops has two copies only"
    assert received["message"].startswith("What happened: Region cn-north")
    assert received["type"] == "failure"


def test_a_channel_takes_what_is_severe_enough() -> None:
    for least, wanted in {
        "info": ["info", "warning", "critical"],
        "warning": ["warning", "critical"],
        "critical": ["critical"],
    }.items():
        assert channel(None, min_severity=least).severities == wanted


def test_a_refusal_of_the_webhook_is_reported_with_its_status(http: HttpCatcher) -> None:
    http.status, http.answer = 503, b'{"error": "down for maintenance"}'
    failure = channel(http.url).send(notice())
    assert failure is not None
    assert "channel ops" in failure.reason
    assert "503" in failure.reason
    assert "down for maintenance" in failure.reason
    assert not failure.unsure


def test_a_refused_mailbox_is_reported_without_the_address_of_the_person(mail: MailCatcher) -> None:
    mail.refuse = True
    failure = channel(mail.url).send(notice())
    assert failure is not None
    assert "550" in failure.reason
    assert "mailbox unknown" in failure.reason
    assert "on-call@" not in failure.reason


def test_a_server_that_is_not_there_is_reported_with_the_cause() -> None:
    failure = channel(f"mailto://127.0.0.1:{free_port()}?from=a@example.com").send(notice())
    assert failure is not None
    assert "Connection refused" in failure.reason


def test_neither_a_failure_nor_the_log_nor_a_repr_shows_the_address(
    http: HttpCatcher, root_log: io.StringIO
) -> None:
    http.status = 500
    http.answer = f"no such hook {TOKEN} for user:s3cretpass".encode()
    url = f"json://user:s3cretpass@127.0.0.1:{http.port}/services/{TOKEN}?-key={TOKEN}x"
    opened = channel(url)
    failure = opened.send(notice())
    gone = channel(f"json://user:s3cretpass@127.0.0.1:{free_port()}/services/{TOKEN}").send(notice())
    assert failure is not None
    assert gone is not None
    assert "500" in failure.reason
    assert "127.0.0.1" in gone.reason
    logging.getLogger("urllib3.connectionpool").warning("the log is listening")
    assert "the log is listening" in root_log.getvalue()
    seen = f"{failure} {gone} {opened!r} {root_log.getvalue()}"
    assert TOKEN not in seen
    assert "s3cretpass" not in seen


@pytest.mark.parametrize("value", [None, "", "   "])
def test_a_missing_address_names_the_channel_and_the_variable(value: str | None) -> None:
    opened = channel(value, name="pager")
    assert isinstance(opened.problem, ConfigError)
    assert "pager" in str(opened.problem)
    assert "TEST_URL" in str(opened.problem)
    failure = opened.send(notice())
    assert failure is not None
    assert "pager" in failure.reason


@pytest.mark.parametrize(
    "url",
    [
        f"dingtalk://{TOKEN}!!/",
        f"https//{TOKEN}",
        f"nosuchservice://{TOKEN}",
        f"mailto://{TOKEN}",
        f"json://127.0.0.1/{TOKEN},json://127.0.0.2/{TOKEN}",
        f"json://127.0.0.1/{TOKEN} json://127.0.0.2/{TOKEN}",
        f"json://127.0.0.1/{TOKEN}?format=nonsense",
    ],
)
def test_a_malformed_address_names_the_channel_and_the_variable_and_never_the_address(
    url: str, root_log: io.StringIO
) -> None:
    opened = channel(url, name="pager")
    text = f"{opened.problem} {opened.send(notice())} {opened!r} {root_log.getvalue()}"
    assert "pager" in text
    assert "TEST_URL" in text
    assert TOKEN not in text
    assert TOKEN[:6] not in text


def test_two_receivers_in_one_channel_are_refused_because_a_retry_would_tell_one_twice() -> None:
    url = "mailto://127.0.0.1:25?from=a@example.com&to=b@example.com,c@example.com"
    problem = str(channel(url).problem)
    assert "2 receivers" in problem
    assert "b@example.com" not in problem


def test_people_mentioned_in_one_dingtalk_message_are_not_receivers_of_their_own() -> None:
    assert channel(f"dingtalk://{TOKEN}/13800138000/13900139000").problem is None


def open_one(connection: Connection) -> Channel:
    file = NoticesFile.model_validate({"channels": [{"name": "c", "connection": "tw_notice"}]})
    return open_channels(
        file, lambda conn_id: connection if conn_id == "tw_notice" else no_connections(conn_id)
    )[0]


def test_an_address_can_come_from_a_connection(http: HttpCatcher) -> None:
    for connection in (
        Connection("tw_notice", "generic", password=http.url),
        Connection("tw_notice", "apprise", extra={"config": {"path": http.url, "tag": "x"}}),
        Connection("tw_notice", "apprise", extra={"config": [{"path": http.url}]}),
    ):
        assert open_one(connection).send(notice()) is None
    assert len(http.received) == 3


def test_a_connection_without_an_address_or_without_a_definition_is_a_problem_of_its_channel() -> None:
    assert "connection tw_notice" in str(open_one(Connection("tw_notice", "generic")).problem)
    file = NoticesFile.model_validate({"channels": [{"name": "c", "connection": "nowhere"}]})
    (opened,) = open_channels(file, no_connections)
    assert "nowhere" in str(opened.problem)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels: [{name: a}]", "url_env or connection"),
        ("channels: [{name: a, url_env: A, connection: b}]", "url_env or connection"),
        ("channels: [{name: a, url_env: A}, {name: a, url_env: B}]", "must be unique"),
        ("channels: [{name: a, url_env: 'dingtalk://x'}]", "url_env"),
        ("channels: [{name: a, url_env: A, min_severity: high}]", "min_severity"),
        ("channels: [{name: a, url_env: A, langauge: zh}]", "langauge"),
    ],
)
def test_a_typing_error_in_the_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "notices.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        read_yaml(path, NoticesFile)


def test_the_file_of_the_repository_is_valid() -> None:
    assert read_yaml(load_settings().config_dir / "notices.yaml", NoticesFile).channels


# --- services that refuse with HTTP 200 ---


@pytest.mark.parametrize(
    ("url", "plugin", "attribute", "refusal"),
    [
        (
            f"dingtalk://{TOKEN}",
            "dingtalk.NotifyDingTalk",
            "notify_url",
            b'{"errcode":310000,"errmsg":"keywords"}',
        ),
        (f"wecombot://{TOKEN}", "wecombot.NotifyWeComBot", "", b'{"errcode":45009,"errmsg":"keywords"}'),
        (f"feishu://{TOKEN}", "feishu.NotifyFeishu", "notify_url", b'{"code":19024,"msg":"keywords"}'),
        (f"lark://{TOKEN}", "lark.NotifyLark", "notify_url", b'{"code":19024,"msg":"keywords"}'),
    ],
)
def test_a_refusal_inside_an_http_200_counts_as_a_failure(
    http: HttpCatcher, monkeypatch: pytest.MonkeyPatch, url: str, plugin: str, attribute: str, refusal: bytes
) -> None:
    here = f"http://127.0.0.1:{http.port}/hook/{{token}}"
    if attribute:  # the service's own host is fixed in the plugin: point it at the receiver
        monkeypatch.setattr(f"apprise.plugins.{plugin}.{attribute}", here)
    opened = channel(url)
    if not attribute:
        opened._service.api_url = here
    opened._service.request_rate_per_sec = 0  # no pause between messages here: the service is ours
    http.answer = b'{"errcode":0,"errmsg":"ok","code":0,"msg":"success"}'
    assert opened.send(notice()) is None
    http.answer = b"not json"
    assert opened.send(notice()) is None
    http.answer = refusal
    failure = opened.send(notice())
    assert failure is not None
    assert "keywords" in failure.reason
    assert TOKEN not in failure.reason


def test_reading_the_answers_is_installed_once_and_for_the_services_that_need_it() -> None:
    import apprise.plugins.dingtalk as plugin

    read_answers("dingtalk")
    first = plugin.requests
    read_answers("dingtalk")
    read_answers("json")
    assert plugin.requests is first


def test_a_wecom_message_keeps_to_the_limit_of_the_service(http: HttpCatcher) -> None:
    opened = channel(f"wecombot://{TOKEN}")
    opened._service.api_url = f"http://127.0.0.1:{http.port}/x"
    assert opened.send(notice(body_zh="观潮" * 1500, body_en="long " * 700, act_now=True)) is None
    content = http.received[0]["text"]["content"]
    assert len(content.encode()) <= 2048
    assert "现在要处理吗：需要" in content


def test_apprise_keeps_its_log_lines_to_itself() -> None:
    channel("json://127.0.0.1/x")
    assert not logging.getLogger("apprise").propagate
