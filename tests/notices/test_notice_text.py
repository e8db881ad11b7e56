"""The text of a notice: complete, Chinese first, harmless whatever was put into it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notice_tools import notice
from pydantic import ValidationError

from tidewatch.notices.notice import Language, body, title

HOSTILE = "x\r\nBcc: everybody@example.com\u2028\x00\x1b[31m\u202egnp.exe\x85 y"


def test_one_text_says_what_happened_whether_to_act_now_and_the_next_step_chinese_first() -> None:
    text = body(notice(), "both")
    parts = [
        "发生了什么：区域 cn-north 没有应答",
        "现在要处理吗：不需要",
        "下一步：等待每小时的修复任务",
        "What happened: Region cn-north did not answer",
        "Act now: No",
        "Next step: Wait for the hourly heal",
        "backup.degraded/ops-1",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_act_now_is_said_in_words() -> None:
    text = body(notice(act_now=True), "both")
    assert "现在要处理吗：需要" in text
    assert "Act now: Yes, now." in text


def test_one_language_leaves_the_other_out() -> None:
    assert "What happened" not in body(notice(), "zh")
    assert "发生了什么" not in body(notice(), "en")
    assert title(notice(), "zh") == "[观潮 警告] 备份 ops 只有两份"
    assert title(notice(severity="critical"), "en") == "[Tidewatch CRITICAL] Backup ops has two copies only"
    assert title(notice(), "both") == "[观潮 警告] 备份 ops 只有两份 / Backup ops has two copies only"


@given(st.text(min_size=1), st.sampled_from(["zh", "en", "both"]))
def test_no_title_ever_holds_a_line_break_or_a_control_character(text: str, language: Language) -> None:
    try:
        line = title(notice(title_zh=text, title_en=text + "."), language)
    except ValidationError:
        return  # nothing printable was left of it
    assert line.splitlines() == [line]
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)


def test_a_hostile_title_becomes_one_harmless_line() -> None:
    assert notice(title_en=HOSTILE).title_en == "x Bcc: everybody@example.com [31mgnp.exe y"


def test_a_hostile_body_keeps_its_lines_and_loses_control_and_direction_characters() -> None:
    assert notice(body_en=HOSTILE).body_en == "x\nBcc: everybody@example.com\n  [31mgnp.exe\n y"


def test_a_lone_surrogate_does_not_stop_a_notice() -> None:
    assert notice(body_en="half \ud83d").body_en.encode() == b"half"


def test_secrets_are_taken_out_of_a_notice() -> None:
    made = notice(body_en="postgres://u:hunter2@db/x", title_en="password=hunter2 failed")
    assert "hunter2" not in repr(made)


def test_texts_are_cut_to_their_limits() -> None:
    made = notice(title_zh="长" * 500, body_zh="长" * 9000)
    assert (len(made.title_zh), len(made.body_zh)) == (150, 4000)
    assert made.body_zh.endswith("…")


@pytest.mark.parametrize("field", ["title_zh", "body_en", "next_step_zh"])
@pytest.mark.parametrize("empty", ["", "  \n", "\x00\u202e"])
def test_a_notice_with_a_text_left_empty_is_refused(field: str, empty: str) -> None:
    with pytest.raises(ValidationError, match=field):
        notice(**{field: empty})


@pytest.mark.parametrize("fact", ["", "two\nlines", "x" * 301])
def test_a_fact_must_be_a_printable_key(fact: str) -> None:
    with pytest.raises(ValidationError, match="fact"):
        notice(fact)


def test_a_possible_repeat_says_so_in_both_languages() -> None:
    text = body(notice(), "both", maybe_repeat=True)
    assert "可能是重复的" in text
    assert "may be a repeat" in text
    assert "repeat" not in body(notice(), "both")


@given(st.integers(200, 3000), st.text("观潮🌊abc\n", min_size=1, max_size=2000))
def test_a_byte_limit_is_kept_and_whether_to_act_and_the_next_step_survive_it(limit: int, text: str) -> None:
    try:
        made = notice(body_zh=text, body_en=text, next_step_zh="看", next_step_en="look", act_now=True)
    except ValidationError:
        return
    for language in ("zh", "en", "both"):
        short = body(made, language, max_bytes=limit)
        assert len(short.encode()) <= limit
        assert "现在要处理吗：需要" in short or "Act now: Yes" in short
        assert "下一步：看" in short or "Next step: look" in short
