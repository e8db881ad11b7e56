"""Takes secrets out of text before anybody reads it.

Redaction is the second fence: the first is not to put secrets into text at all.
"""

import logging
import re

_MASK = "***"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host, also with an empty user; the password may itself hold @ when unescaped
    (re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*):[^\s/]+@"), rf"\1:{_MASK}@"),
    (re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+", re.IGNORECASE), _MASK),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        _MASK,
    ),
    # password=..., "secret_access_key": "...", token: ...
    (
        re.compile(
            r"""(?ix)
            (["']? (?:password|passwd|pwd|secret(?:_access)?(?:_key)?|aws_secret_access_key|token|api_?key
                     |authorization|private_key|access_token) ["']?
             \s* [=:] \s*)
            (?: "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | (?:basic|bearer)\s+\S+ | [^\s,;&}\])]+ )""",
        ),
        rf"\1{_MASK}",
    ),
    # pre-signed URLs
    (re.compile(r"(?i)(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s]+"), rf"\1{_MASK}"),
)


def redact(text: str) -> str:
    """`text` without passwords in URLs and key=value pairs, age secret keys, PEM private keys, signatures."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class RedactionFilter(logging.Filter):
    """Redacts the finished message of every record that passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, None
        return True


def install_log_redaction() -> None:
    """Put the filter on every handler of the root logger. Calling it again changes nothing."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(f, RedactionFilter) for f in handler.filters):
            handler.addFilter(RedactionFilter())
