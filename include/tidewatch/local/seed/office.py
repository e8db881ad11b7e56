"""The office before its first day: staff, accounts, campaigns, hashtags, approved answers, past incidents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from random import Random
from typing import Any

from tidewatch.core.database import Connection
from tidewatch.local.seed import people
from tidewatch.local.seed.grammar import load, writers
from tidewatch.local.seed.tables import LEGACY, Batch, as_json

CHINA = timezone(timedelta(hours=8), "CST")
"""China's clock has had no daylight saving since 1991, so a fixed offset is exact."""

_CAMPAIGN_DAYS = 14
_REPORT_OID = 310_000  # large objects get fixed numbers: equal seeds, equal databases


@dataclass(frozen=True)
class Account:
    """`lang`: what it writes. `followers` is the base of its figures."""

    id: int
    platform: str
    lang: str
    followers: int


@dataclass(frozen=True)
class Campaign:
    """Runs from `starts` (included) to `ends` (excluded)."""

    id: int
    starts: date
    ends: date


@dataclass(frozen=True)
class Office:
    """What every day refers to. Ids count from 1 in the order of the texts."""

    accounts: Sequence[Account]
    campaigns: Sequence[Campaign]
    hashtags: Mapping[str, Sequence[tuple[int, str]]]
    editors: Sequence[int]
    agents: Sequence[int]

    def campaign_on(self, day: date) -> int | None:
        """The id of the campaign that runs on a day."""
        return next((c.id for c in self.campaigns if c.starts <= day < c.ends), None)


def describe_office(first_day: date) -> Office:
    """The same office for the same first day, without asking the database."""
    texts = load("office")
    accounts = [
        Account(number, platform, "zh" if market == "CN" else "en", followers)
        for number, (platform, _, _, market, followers, _) in enumerate(texts["accounts"], 1)
    ]
    campaigns = [
        Campaign(number + 1, starts, starts + timedelta(days=_CAMPAIGN_DAYS - 3))
        for number in range(len(load("words")["zh"]["campaign"]))
        for starts in [first_day + timedelta(days=number * _CAMPAIGN_DAYS)]
    ]
    tags = [("zh", tag) for tag in load("words")["zh"]["topic"]] + [
        ("en", tag) for tag in load("words")["en"]["topic"]
    ]
    by_lang: dict[str, list[tuple[int, str]]] = {"zh": [], "en": []}
    for number, (lang, tag) in enumerate(tags, 1):
        by_lang[lang].append((number, tag))
    roles = [role for _, _, role, _ in texts["staff"]]
    return Office(
        accounts=accounts,
        campaigns=campaigns,
        hashtags=by_lang,
        editors=[n for n, role in enumerate(roles, 1) if role == "editor"],
        agents=[n for n, role in enumerate(roles, 1) if role == "agent"],
    )


def furnish(office: Office, batch: Batch, first_day: date, last_day: date, scale: float, rng: Random) -> None:
    """Rows of everything that is there before the first day."""
    texts = load("office")
    _staff(texts, batch, first_day, rng)
    _accounts(texts, office, batch, first_day, rng)
    _campaigns(office, batch, rng)
    for lang, tags in office.hashtags.items():
        for number, tag in tags:
            campaign = number if lang == "zh" and number <= len(office.campaigns) else None
            batch.add("hashtags", number, tag, campaign, tag == "避雷")
    for number, (code, category, lang, title, body) in enumerate(texts["templates"], 1):
        slots = sorted({piece.partition("}")[0] for piece in body.split("{")[1:]})
        batch.add("response_templates", number, code, 1, category, lang, title, body, slots, 14)
    _incidents(texts, office, batch, first_day, last_day, rng)
    _legacy(batch, scale, rng)


def _staff(texts: Mapping[str, Any], batch: Batch, first_day: date, rng: Random) -> None:
    for number, (name, latin, role, languages) in enumerate(texts["staff"], 1):
        starts = rng.choice((7, 8, 9, 13, 22))
        batch.add(
            "staff", number, name, latin, role, f"staff.{number}@ximu.example.com", languages,
            None if number == 1 else 1, [time(starts), time((starts + 9) % 24, 30)], people.office_ip(number),
            first_day - timedelta(days=rng.randrange(60, 2500)), number != 11,
        )  # fmt: skip


def _accounts(texts: Mapping[str, Any], office: Office, batch: Batch, first_day: date, rng: Random) -> None:
    for number, (platform, handle, name, market, followers, hours) in enumerate(texts["accounts"], 1):
        settings = {
            "自动回复": rng.random() < 0.5,
            "quiet_hours": ["23:00", "07:30"],
            "limits": {"posts_per_day": rng.randrange(2, 9), "links": None},
        }
        batch.add(
            "accounts", number, platform, handle, name, market, followers, rng.random() < 0.8,
            as_json(settings), rng.choice(office.editors), timedelta(hours=hours),
            first_day - timedelta(days=rng.randrange(90, 3000)),
        )  # fmt: skip


def _campaigns(office: Office, batch: Batch, rng: Random) -> None:
    words = load("words")
    for campaign, zh, en in zip(
        office.campaigns, words["zh"]["campaign"], words["en"]["campaign"], strict=True
    ):
        goals = {
            "views": rng.randrange(1, 90) * 100_000,
            "followers": rng.randrange(1, 60) * 1000,
            "nps": None,
        }
        batch.add(
            "campaigns", campaign.id, f"XM-{campaign.starts:%Y%m}-{campaign.id:02d}", zh, en,
            f"[{campaign.starts},{campaign.ends})", f"{rng.randrange(20, 900)}000.00", as_json(goals),
        )  # fmt: skip


def _incidents(
    texts: Mapping[str, Any], office: Office, batch: Batch, first_day: date, last_day: date, rng: Random
) -> None:
    writer = writers()["zh"]
    days = (last_day - first_day).days
    for number, (title, severity, hours, summary) in enumerate(texts["incidents"], 1):
        # At least three days before the end, so that no incident reaches into the future.
        day = first_day + timedelta(days=rng.randrange(max(days - 3, 1)))
        begins = datetime.combine(day, time(rng.randrange(24), rng.randrange(60)), CHINA)
        steps = ("发现", "定级", "首次回应", "平台沟通", "处置完成", "复盘")
        timeline = [
            {"at": (begins + timedelta(hours=hours) * (step / len(steps))).isoformat(), "what": what,
             "by": rng.choice(office.agents)}
            for step, what in enumerate(steps)
        ]  # fmt: skip
        batch.add(
            "incidents", number, writer.fill(title, rng), severity, 1,
            f"[{begins.isoformat()},{(begins + timedelta(hours=hours)).isoformat()})",
            sorted(rng.sample(range(1, len(office.accounts) + 1), 3)), writer.fill(summary, rng),
            as_json(timeline), _REPORT_OID + number if severity in ("critical", "high") else None,
        )  # fmt: skip


def _legacy(batch: Batch, scale: float, rng: Random) -> None:
    """Every hostile text once, then rows of which some are exact duplicates of each other."""
    for number, text in enumerate(load("hostile"), 1):
        amount = "NaN" if number % 7 == 0 else "1.00"
        batch.add(LEGACY, number, text, amount, '{"b":1,  "a" : 2, "a":3}', text[:9])
    amounts = ("1", "1.0", "1.00", "-0.50", "199.90", None, "1e6")
    writer = writers()["zh"]
    for _ in range(round(300 * scale)):
        row = (rng.randrange(9), writer.word("topic", rng), rng.choice(amounts), "[1, 1.0, null]", None)
        for _ in range(1 + (rng.random() < 0.3)):
            batch.add(LEGACY, *row)


def write_reports(conn: Connection, rng: Random) -> None:
    """The reviews of the worst incidents as large objects: long texts, and one that is binary."""
    complaints, writer = load("complaints")["zh"], writers()["zh"]
    reports = conn.execute(
        "select report, title from ops.incidents where report is not null order by report"
    ).fetchall()
    for number, row in enumerate(reports):
        lines = [f"# {row['title']} · 复盘报告", ""]
        for chapter in range(1, 41):
            lines.append(f"## {chapter}. {writer.text(complaints['subject']['safety'], rng)}")
            lines += [writer.text(complaints["fact"]["safety"], rng) for _ in range(6)]
        content = "\n".join(lines).encode()
        if number == 0:
            content += b"\x00\xff" + rng.randbytes(120_000)
        conn.execute("select lo_from_bytea(%s, %s)", (row["report"], content))
        # A statement with an identifier-like number: the driver can't bind it.
        conn.execute(f"grant select on large object {int(row['report'])} to ops_reader".encode())
