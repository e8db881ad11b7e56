"""How things are called in Chinese and in English, and how figures are written."""

from datetime import datetime
from typing import Literal

from tidewatch.evidence.report.config import local

Language = Literal["zh", "en"]

_STATUSES = {
    "staging": "进行中",
    "staged": "待判定",
    "sealed": "已封存",
    "degraded": "降级",
    "failed": "失败",
    "suspect": "存疑",
    "abandoned": "已放弃",
    "accepted": "人工接受",
    "rejected": "人工拒绝",
    "running": "进行中",
    "passed": "通过",
    "error": "出错",
    "signed": "已签署",
    "refused": "拒绝签署",
    "unsigned": "逾期未签",
    "warning": "警告",
    "critical": "严重",
    "latest": "最新",
    "older": "较早",
    "encryption": "加密",
    "signing": "签名",
    "postgres": "数据库",
    "files": "文件",
    "daily": "日",
    "weekly": "周",
    "monthly": "月",
    "yearly": "年",
    "fetch": "取回",
    "decrypt": "解密",
    "load": "装载",
    "check": "核对",
}
_QUESTIONS = {
    "reachable": "可以连接",
    "probe finished": "探测完成",
    "bucket exists": "存储桶存在",
    "versioning": "版本控制",
    "object lock": "对象锁定",
    "clock": "时钟偏差",
    "conditional writes": "条件写入",
    "wrong checksum rejected": "拒绝错误的校验和",
    "checksums": "支持的校验和",
    "versions listed": "可列出版本",
    "checksums at multipart": "分段上传的校验和",
    "wrong checksum of a part rejected": "拒绝错误的分段校验和",
    "unfinished uploads listed": "可列出未完成的上传",
    "conditional completion of uploads": "条件完成上传",
    "GetObjectAttributes": "对象属性查询",
    "trailing checksums": "尾部校验和",
    "lock headers kept at multipart": "分段上传保留锁定标头",
    "lock can be set": "可以设置锁定",
    "locked version undeletable": "拒绝删除已锁定的版本",
    "undeletable with the header that lifts GOVERNANCE locks": "带解除治理锁标头仍拒绝删除",
    "lock cannot be shortened": "锁定期不可缩短",
}


PHASES = ("fetch", "decrypt", "load", "check")
"""Of a restore test, in their order; others follow by name."""


class Words:
    """One language, and the clock that times are told by."""

    def __init__(self, language: Language, zone: str) -> None:
        self.language, self._zone = language, zone

    def __call__(self, zh: str, en: str) -> str:
        """Whichever of the two this language is."""
        return zh if self.language == "zh" else en

    def status(self, name: str) -> str:
        """A status, a choice, a phase: a word of our own vocabulary."""
        return _STATUSES.get(name, name) if self.language == "zh" else name

    def question(self, name: str) -> str:
        """A question of a probe."""
        return _QUESTIONS.get(name, name) if self.language == "zh" else name

    def yes(self, value: bool | None) -> str:
        """Yes, no, or not asked."""
        if value is None:
            return self("未询问", "not asked")
        return self("是", "yes") if value else self("否", "no")

    def when(self, moment: datetime | None) -> str:
        """By the report's clock, to the minute."""
        return "–" if moment is None else f"{local(moment, self._zone):%Y-%m-%d %H:%M}"

    def seconds(self, value: float | None) -> str:
        """A length of time, roughly three digits."""
        if value is None:
            return "–"
        if value < 60:
            return self(f"{value:.1f} 秒", f"{value:.1f} s")
        if value < 3600:
            return self(f"{value / 60:.1f} 分钟", f"{value / 60:.1f} min")
        return self(f"{value / 3600:.1f} 小时", f"{value / 3600:.1f} h")


def size(value: int) -> str:
    """Bytes, in units of 1,000."""
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def count(value: int | None) -> str:
    """A number with separators."""
    return "–" if value is None else f"{value:,}"
