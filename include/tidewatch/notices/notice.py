"""A notice: one fact, told in one text that says what happened, whether to act now, and the next step."""

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tidewatch.core.redaction import redact

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
Language = Literal["zh", "en", "both"]

_MAX_TITLE = 150
_MAX_BODY = 4000
_BODY_KEEPS = "\n\t"
_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Characters that turn the direction of the text around them: what is read is then not what was written.
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def one_line(text: object) -> object:
    """`text` as one line without control characters: fit for a mail header. At most 150 characters."""
    if not isinstance(text, str):
        return text
    return _cut(" ".join(_printable(text, keep="").split()), _MAX_TITLE)


def plain_text(text: object) -> object:
    """`text` with line feeds and tabs as its only control characters. At most 4,000 characters."""
    if not isinstance(text, str):
        return text
    return _cut(_printable(_BREAKS.sub("\n", text), keep=_BODY_KEEPS).strip(), _MAX_BODY)


def _printable(text: str, *, keep: str) -> str:
    text = _DIRECTION.sub("", redact(text))
    return "".join(
        c if c in keep or unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} else " " for c in text
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


Title = Annotated[str, BeforeValidator(one_line), Field(min_length=1)]
Text = Annotated[str, BeforeValidator(plain_text), Field(min_length=1)]


class Notice(BaseModel):
    """What to tell. Texts are plain text; whatever a source, a store or a person put into them is made
    harmless (control and direction characters, secrets) when the notice is made.

    `fact` is the unique key of the fact, e.g. `backup.degraded/<backup_id>`: one fact is told once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fact: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,300}$")]
    severity: Severity
    title_zh: Title
    title_en: Title
    body_zh: Text
    body_en: Text
    act_now: bool
    next_step_zh: Text
    next_step_en: Text


_SEVERITY_ZH = {"info": "通知", "warning": "警告", "critical": "严重"}
_SEVERITY_EN = {"info": "info", "warning": "warning", "critical": "CRITICAL"}


def title(notice: Notice, language: Language) -> str:
    """One line: product, severity, what."""
    zh = f"[观潮 {_SEVERITY_ZH[notice.severity]}] {notice.title_zh}"
    en = f"[Tidewatch {_SEVERITY_EN[notice.severity]}] {notice.title_en}"
    if language == "both":
        return f"{zh} / {notice.title_en}"
    return zh if language == "zh" else en


def body(
    notice: Notice, language: Language, *, maybe_repeat: bool = False, max_bytes: int | None = None
) -> str:
    """The text: what happened, whether to act now, the next step, the fact. Chinese first when both.

    `max_bytes` (UTF-8) is the limit of a channel: English goes first, then the end of what happened; whether
    to act and the next step stay as long as they fit by themselves.
    """
    text = _blocks(notice, language, maybe_repeat, None)
    if max_bytes is None or len(text.encode()) <= max_bytes:
        return text
    if language == "both":
        return body(notice, "zh", maybe_repeat=maybe_repeat, max_bytes=max_bytes)
    happened = notice.body_zh if language == "zh" else notice.body_en
    rest = len(text.encode()) - len(happened.encode())
    short = happened.encode()[: max(0, max_bytes - rest - len("…".encode()))].decode(errors="ignore") + "…"
    return _blocks(notice, language, maybe_repeat, short).encode()[:max_bytes].decode(errors="ignore")


def _blocks(notice: Notice, language: Language, maybe_repeat: bool, happened: str | None) -> str:
    blocks: list[str] = []
    if language in {"zh", "both"}:
        act = "需要，请现在处理。" if notice.act_now else "不需要，按下一步安排即可。"
        blocks.append(
            f"发生了什么：{happened or notice.body_zh}\n现在要处理吗：{act}\n下一步：{notice.next_step_zh}"
        )
        if maybe_repeat:
            blocks.append("注意：上一次发送被中断，这一条可能是重复的。")
    if language in {"en", "both"}:
        act = "Yes, now." if notice.act_now else "No, the next step can wait for working hours."
        blocks.append(
            f"What happened: {happened or notice.body_en}\nAct now: {act}\nNext step: {notice.next_step_en}"
        )
        if maybe_repeat:
            blocks.append("Note: an earlier attempt was cut off, this may be a repeat.")
    label = {"zh": "编号", "en": "Reference", "both": "编号 / Reference"}[language]
    blocks.append(f"{label}: {notice.fact}")
    return "\n\n".join(blocks)
