"""Channels of config/notices.yaml: each one address, reached through apprise.

The address (an apprise URL) is secret: it comes from the environment or from a connection, and appears in no
log, error or record.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, model_validator

from tidewatch.core.config import Strict
from tidewatch.core.connections import Resolver
from tidewatch.core.errors import ConfigError
from tidewatch.core.redaction import redact
from tidewatch.notices.notice import SEVERITIES, Language, Notice, Severity, body, title
from tidewatch.notices.refusals import read_answers

SEND_TIMEOUT_S = 60
_MAX_LINE = 250
_MAX_REASON = 600
# Limits of the services themselves, in bytes of UTF-8 for title and text; apprise counts characters.
_MAX_BYTES = {"wecombot": 2000}
# Their targets are people mentioned in one message, not messages of their own.
_MENTIONS = {"dingtalk"}


class ChannelConfig(Strict):
    """One channel. The apprise URL is in the variable `url_env`, or in the Airflow connection
    `connection`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    url_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    connection: str | None = None
    min_severity: Severity = "warning"
    language: Language = "both"

    @model_validator(mode="after")
    def _one_address(self) -> "ChannelConfig":
        if (self.url_env is None) == (self.connection is None):
            raise ValueError(f"channel {self.name} needs either url_env or connection")
        return self

    @property
    def where(self) -> str:
        """Where the address is to be found, for messages."""
        return f"the variable {self.url_env}" if self.url_env else f"the connection {self.connection}"


class NoticesFile(Strict):
    """config/notices.yaml."""

    channels: list[ChannelConfig]

    @model_validator(mode="after")
    def _unique(self) -> "NoticesFile":
        names = [c.name for c in self.channels]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"channel names must be unique, these are not: {', '.join(twice)}")
        return self


@dataclass(frozen=True)
class Failure:
    """Why a message was not accepted (redacted). `unsure`: the service may have taken it nevertheless."""

    reason: str
    unsure: bool = False


@dataclass(frozen=True)
class Channel:
    """An open channel, or one whose address cannot be used (`problem`): that one fails, the others go on."""

    config: ChannelConfig
    problem: ConfigError | None = None
    _service: Any = field(default=None, repr=False)
    _secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def severities(self) -> list[Severity]:
        """The severities that this channel wants."""
        return list(SEVERITIES[SEVERITIES.index(self.config.min_severity) :])

    def send(self, notice: Notice, *, maybe_repeat: bool = False) -> Failure | None:
        """Send as plain text; None when the service accepted it. Takes at most about a minute."""
        if self.problem is not None:
            return Failure(str(self.problem))
        from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
        from apprise.result import AppriseResultStatus

        kinds = {"info": NotifyType.INFO, "warning": NotifyType.WARNING, "critical": NotifyType.FAILURE}
        heading = title(notice, self.config.language)
        limit = _MAX_BYTES.get(self._service.schema)
        text = body(
            notice,
            self.config.language,
            maybe_repeat=maybe_repeat,
            max_bytes=limit - len(heading.encode()) if limit else None,
        )
        messenger = Apprise(self._service, asset=AppriseAsset(storage_mode="memory"))
        with (
            _quiet_http(),
            messenger.notify(
                text,
                title=heading,
                notify_type=kinds[notice.severity],
                body_format=NotifyFormat.TEXT,
                log_level=logging.DEBUG,
            ) as result,
        ):
            if result.status == AppriseResultStatus.SUCCESS:
                return None
            lines = [entry.message for entry in result.logs() if _tells_why(entry.level, entry.message)]
            unsure = result.status == AppriseResultStatus.TIMEOUT
        return Failure(self._reason(lines), unsure)

    def _reason(self, lines: list[str]) -> str:
        masked = dict.fromkeys(self._mask(" ".join(line.split())) for line in lines)
        found = "; ".join(line[:_MAX_LINE] for line in masked) or "no reason was given"
        return f"channel {self.name}: {found}"[:_MAX_REASON]

    def _mask(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return redact(_MAIL_ADDRESS.sub(r"***@\1", text))


_HARMLESS = {"smtp", "mode", "format", "verify", "overflow"}
_MAIL_ADDRESS = re.compile(r"[\w.+%-]+@([\w-]+(?:\.[\w-]+)+)")


def _tells_why(level: str, message: str) -> bool:
    # Apprise says *that* it failed as a warning, and *why* at level DEBUG, among lines with addresses.
    why = ("Socket Exception", "Response Details")
    return level in {"WARNING", "ERROR", "CRITICAL"} or message.startswith(why)


def open_channels(
    file: NoticesFile, resolver: Resolver, environ: Mapping[str, str] = os.environ
) -> list[Channel]:
    """Every channel of the file, in its order. One that cannot be opened carries its error as `problem`."""
    return [_open(config, resolver, environ) for config in file.channels]


def _open(config: ChannelConfig, resolver: Resolver, environ: Mapping[str, str]) -> Channel:
    try:
        url = _address(config, resolver, environ)
        return Channel(config, None, _service(config, url), _secret_parts(url))
    except ConfigError as problem:
        return Channel(config, problem)


def _address(config: ChannelConfig, resolver: Resolver, environ: Mapping[str, str]) -> str:
    if config.url_env is not None:
        url = environ.get(config.url_env, "").strip()
    else:
        connection = resolver(config.connection or "")
        url = (connection.password or _airflow_apprise(connection.extra) or "").strip()
    if not url:
        raise ConfigError(
            f"The notice channel {config.name} has no address",
            expected=f"an apprise URL in {config.where}",
            found="nothing",
            do=f"set {config.where}, or take the channel out of config/notices.yaml; "
            "docs/notices.md has examples",
        )
    return url


def _airflow_apprise(extra: Mapping[str, Any]) -> str | None:
    """The URL in the `config` of an Airflow connection of type apprise."""
    config = extra.get("config")
    first = config[0] if isinstance(config, list) and len(config) == 1 else config
    path = first.get("path") if isinstance(first, Mapping) else None
    return path if isinstance(path, str) else None


def _service(config: ChannelConfig, url: str) -> Any:
    from apprise import Apprise, AppriseAsset

    _keep_apprise_quiet()
    asset = AppriseAsset(
        app_id="Tidewatch",
        app_desc="Tidewatch",
        app_url="",
        async_mode=False,
        interpret_emojis=False,
        storage_mode="memory",
        service_timeout=SEND_TIMEOUT_S,
    )
    service = None if re.search(r"[\s,]+[a-z0-9]+://", url) else Apprise.instantiate(url, asset=asset)
    if service is None:
        raise ConfigError(
            f"The address of the notice channel {config.name} cannot be used",
            expected=f"exactly one apprise URL in {config.where}, such as mailtos://... or dingtalk://...",
            found=f"{len(url)} characters that apprise does not accept as one URL (they "
            "are secret and not shown)",
            do=f"correct {config.where}; docs/notices.md has an example for each service",
        )
    if len(service) > 1 and service.schema not in _MENTIONS:
        raise ConfigError(
            f"The notice channel {config.name} has {len(service)} receivers",
            expected="one receiver a channel: if one of several refuses, a retry would tell the others twice",
            found=f"{len(service)} receivers in {config.where}",
            do="use a group address or mailing list, or make a channel for each receiver",
        )
    if service.schema in {"mailto", "mailtos"}:
        service.request_rate_per_sec = 0  # the pause that public services ask for
    read_answers(service.schema)
    return service


def _secret_parts(url: str) -> tuple[str, ...]:
    """What must not be quoted from `url`: everything but the scheme and a host that is a host. Longest
    first.
    """
    parts = urlsplit(url)
    netloc = parts.netloc.rsplit("@", 1)
    pieces = [*netloc[0].split(":")] if len(netloc) == 2 else []
    host = netloc[-1].split(":")[0]
    if "." not in host and host != "localhost":
        pieces.append(host)  # many services put the token where the host stands
    pieces += [url, parts.path, parts.query, *parts.path.split("/")]
    pieces += [value for key, value in parse_qsl(parts.query) if key not in _HARMLESS]
    found = {p for piece in pieces for p in (piece, unquote(piece)) if len(p) >= 4}
    return tuple(sorted(found, key=len, reverse=True))


_sending: ContextVar[bool] = ContextVar("tidewatch_notice_sending", default=False)


@contextmanager
def _quiet_http() -> Iterator[None]:
    """The HTTP library logs the path of every request at DEBUG; the path of a webhook is its secret."""
    token = _sending.set(True)  # apprise takes the context along into its worker thread
    try:
        yield
    finally:
        _sending.reset(token)


def _not_while_sending(record: logging.LogRecord) -> bool:
    return not _sending.get()


def _keep_apprise_quiet() -> None:
    """Apprise logs addresses and payloads at DEBUG, and parts of an address that it cannot load.

    Its lines are therefore read here (for the reason of a failure) and passed on to nobody.
    """
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    http = logging.getLogger("urllib3.connectionpool")
    if _not_while_sending not in http.filters:
        http.addFilter(_not_while_sending)
