"""Takes secrets out of text before anybody reads it.

Redaction is the second fence: the first is not to put secrets into text at all. Where it must err, it masks
too much rather than too little.
"""

import logging
import re
from typing import Any

_MASK = "***"

# Schemes whose addresses are addresses. Everything else of the form scheme://... is treated as a notification
# URL (dingtalk://token/, slack://a/b/c), whose "host" and "path" are the secret.
_ADDRESS_SCHEMES = (
    r"https?|wss?|postgres|postgresql|postgresql\+\w+|db\+\w+|mysql|sqlite|s3|s3a|gs|file|redis|rediss|amqps?"
    r"|smtps?|ldaps?|sftp|ftps?|ssh|git|tcp|udp|unix|aws|tidewatch|asset|airflow|jdbc"
)
_KEYS = (
    r"password|passwd|passphrase|pwd|secret[-_]?access[-_]?key|secret[-_]?key|secret|token|api[-_]?key"
    r"|private[-_]?key|account[-_]?key|fernet[-_]?key|cookie|密码|口令|令牌|私钥"
)
# A value in one of the spellings of JSON, YAML, libpq keywords, Python reprs and shells. A quote that never
# closes (text that was cut) masks to the end; what touches a closing quote (`""abc`, not quoted by anybody)
# is the value's too.
_VALUE = (
    # a mapping: its own keys say which of its values are secret
    r"(?! \{\s* (?: \\*[\"'][\w-]+\\*[\"']: | [\w-]+:\s ) )"
    r"(?! (?:none|null|\*\*\*) (?:[\s,;)}\]]|\Z) )"
    r"(?: (?P<level>\\+)\" .*? (?:(?<!\\)(?P=level)\"|\Z)"
    r"  | [bru]{0,2} \" (?:[^\"\\]|\\.)* (?:\"[^\s,;)}\]]*|\\?\Z)"
    r"  | [bru]{0,2} '  (?:[^'\\]|\\.)*  (?:'[^\s,;)}\]]*|\\?\Z)"
    r"  | \[ [^\]\n]* \]?"
    r"  | (?:basic|bearer) \s+ \S+"
    r"  | \S+ )"
)

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]+", re.IGNORECASE), _MASK),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        _MASK,
    ),
    # scheme://... of a notification service
    (
        re.compile(
            rf"(?i)(?<![a-z0-9+.-])(?!(?:{_ADDRESS_SCHEMES}|x-[a-z-]+)://)"
            r"([a-z][a-z0-9+.-]{1,30}://)[^\s\"'<>]+"
        ),
        rf"\1{_MASK}",
    ),
    # scheme://user:password@host; the password may hold anything but white space when nobody escaped it.
    # `host:9000/a@b` is a port and a path.
    (
        re.compile(
            r"(?<![a-zA-Z0-9+.-])([a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^\s/:@\[\"'<>]*)"
            r":(?!\d{1,5}(?:[/?#\s]|\Z))(?:(?!://)\S)*@"
        ),
        rf"\1:{_MASK}@",
    ),
    # https://token@host
    (re.compile(r"(?i)(?<![a-z0-9+.-])(https?://)[^\s/:@?#\"'<>]+@"), rf"\1{_MASK}@"),
    # web hooks, whose path is the secret, also when only the path is shown
    (
        re.compile(r"(?i)(/services/T\w+/B\w+/|/webhooks?/\d+/|/bot/v2/hook/|/bot(?=\d+:))[^\s/?#\"'<>]+"),
        rf"\1{_MASK}",
    ),
    (re.compile(r"(?i)(/robot/send|/webhook/send)\?[^\s\"'<>]+"), rf"\1?{_MASK}"),
    # pre-signed URLs and keys in queries
    (
        re.compile(
            r"(?i)(X-Amz-(?:Signature|Credential|Security-Token)=|[?&](?:key|sig|sign|signature)=)[^&\s\"']+"
        ),
        rf"\1{_MASK}",
    ),
    # header: everything up to the end of the line or of the quoted text
    (
        re.compile(
            r"(?i)((?:proxy-)?authorization\\*[\"']?\s*[=:][^\S\n]*+)(?!\*\*\*)(?:\\*\"[^\"\n]*\"?|'[^'\n]*'?|[^\"'\n]+)"
        ),
        rf"\1{_MASK}",
    ),
    # password=..., "secret_access_key": "...", token: ..., --password ...
    (
        re.compile(
            rf"(?isx) ( (?:{_KEYS}) \\*[\"']? \s*[=:：][^\S\n]*+ | --(?:{_KEYS}) \s++ ) {_VALUE}",
        ),
        rf"\1{_MASK}",
    ),
    # secrets that are recognised by their own shape
    (re.compile(r"(?<![A-Za-z0-9])(A[KS]IA)[A-Z0-9]{16}(?![A-Za-z0-9])"), rf"\1{_MASK}"),
    (re.compile(r"(?i)\b(bearer\s+)(?=\S*\d)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{_MASK}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), _MASK),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-[A-Za-z0-9-]{10,})"), _MASK),
)


def redact(text: str) -> str:
    """`text` without passwords in URLs and key=value pairs, tokens of notification services, age secret keys,
    PEM private keys, AWS key ids and pre-signed queries. Redacting twice changes nothing more."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_record(record: logging.LogRecord) -> None:
    """Replace the message, the traceback and the stack of `record` by their redacted text."""
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        return  # a wrong format string: the handler reports it in its own way
    clean = redact(message)
    if clean != message:
        record.msg, record.args = clean, None
    if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
        # Formatters use `exc_text` when it is there. It is only set when there is something to hide.
        trace = logging.Formatter().formatException(record.exc_info)
        if (clean := redact(trace)) != trace:
            record.exc_text = clean
    if record.stack_info:
        record.stack_info = redact(record.stack_info)


class _RedactingFactory:
    """Makes the log records of the whole process: no logger and no handler is left out."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **kwargs)
        redact_record(record)
        return record


def install_log_redaction() -> None:
    """Redact every log record of this process from now on. Calling it again changes nothing."""
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _RedactingFactory):
        logging.setLogRecordFactory(_RedactingFactory(factory))
