"""One day at the office: posts, comments, complaints, progress of open complaints, the day's figures."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from hashlib import sha256
from random import Random
from uuid import UUID

from tidewatch.local.seed import people
from tidewatch.local.seed.grammar import Writer, load, writers
from tidewatch.local.seed.images import png
from tidewatch.local.seed.office import CHINA, Account, Office
from tidewatch.local.seed.tables import Batch, as_json
from tidewatch.local.seed.world import ASSET_STEP, Case, RecentPost, World

# Rows a day at scale 1; with the rest they make about 43,000 rows in 120 days.
_POSTS, _COMMENTS, _COMPLAINTS = 24.0, 90.0, 11.0
_HOSTILE_COMMENTS, _HOSTILE_COMPLAINTS, _HOSTILE_NAMES = 0.012, 0.02, 0.003

_MOODS = ("happy", "neutral", "unhappy", "angry")
_FEELING = {"happy": (0.3, 1.0), "neutral": (-0.2, 0.3), "unhappy": (-0.8, -0.2), "angry": (-1.0, -0.7)}
_CATEGORIES = {"quality": 30, "delivery": 20, "refund": 15, "service": 12, "safety": 5, "advertising": 8,
               "privacy": 5, "counterfeit": 5}  # fmt: skip
_NEXT = {
    "new": ("assigned",),
    "assigned": ("answered", "answered", "answered", "escalated"),
    "answered": ("resolved", "resolved", "escalated"),
    "escalated": ("answered", "resolved"),
    "resolved": ("closed",),
}


@dataclass(frozen=True)
class Step:
    """A complaint that was in the database before this day has moved on."""

    id: int
    status: str
    assignee_id: int | None
    at: datetime
    satisfaction: int | None


@dataclass(frozen=True)
class _Day:
    """What the parts of one day share."""

    day: date
    rng: Random
    office: Office
    world: World
    batch: Batch

    def count(self, a_day: float) -> int:
        """`a_day` times scale, busier at the weekend, its fraction drawn: small scales have quiet days."""
        busy = 1.25 if self.day.weekday() >= 5 else 0.9
        return int(a_day * self.world.scale * busy + self.rng.random())

    def moment(self, after: datetime | None = None) -> datetime:
        """A second of this day, later than `after`; the last second when nothing is left."""
        start = datetime.combine(self.day, time(), CHINA)
        end = start + timedelta(days=1) - timedelta(seconds=1)
        if after is not None and after >= start:
            start = min(after + timedelta(seconds=1), end)
        return start + timedelta(seconds=int(self.rng.random() * (1 + (end - start).total_seconds())))


def play_day(day: date, seed: int, office: Office, world: World, batch: Batch) -> list[Step]:
    """Add the day's rows to the batch and move the world on.

    Steps of complaints that this batch holds are written into its rows; the others are returned, in order.
    """
    today = _Day(day, Random(f"{seed}/{day.isoformat()}"), office, world, batch)
    world.forget_before(day)
    _posts(today)
    upset = _comments(today)
    steps = _advance(today)
    _complaints(today, upset)
    _metrics(today)
    return steps


def _posts(today: _Day) -> None:
    rng, world, office = today.rng, today.world, today.office
    for _ in range(today.count(_POSTS)):
        account = rng.choice(office.accounts)
        writer, texts = writers()[account.lang], load("posts")[account.lang]
        body = "\n\n".join([
            writer.text(texts["opening"], rng),
            *(writer.fill(text, rng) for text in rng.sample(texts["middle"], 2 + int(rng.random() * 3))),
            writer.text(texts["ending"], rng),
        ])  # fmt: skip
        tags = rng.sample(office.hashtags[account.lang], 1 + int(rng.random() * 3))
        body += "\n" + " ".join(f"#{tag}#" if account.platform == "weibo" else f"#{tag}" for _, tag in tags)
        at, draw = today.moment(), rng.random()
        state = "published" if draw < 0.92 else rng.choice(("draft", "scheduled", "hidden", "removed"))
        out = at if state not in ("draft", "scheduled") else None
        extra = {"device": rng.choice(("web", "ios", "android", "api")), "版本": 1 + int(rng.random() * 4)}
        title = writer.text(texts["title"], rng) if rng.random() < 0.6 else None
        today.batch.add(
            "posts", world.post, account.id, office.campaign_on(today.day), rng.choice(office.editors), state,
            account.lang, title, body, [tag for _, tag in tags], UUID(int=rng.getrandbits(128), version=4),
            at - timedelta(minutes=int(rng.random() * 600)), out, as_json(extra),
        )  # fmt: skip
        for position, (number, _) in enumerate(tags, 1):
            today.batch.add("post_hashtags", world.post, number, position)
        if rng.random() < 0.5:
            _asset(today, writer, account)
        if state == "published":
            world.recent.append(RecentPost(world.post, account.id, account.lang, at))
        world.post += 1


def _asset(today: _Day, writer: Writer, account: Account) -> None:
    rng, world = today.rng, today.world
    video = account.platform in ("douyin", "kuaishou", "bilibili") and rng.random() < 0.7
    thumbnail = png(28, 28, rng, noise=True)
    width, height = (1080, 1920) if video else rng.choice(((1080, 1440), (1200, 675), (800, 800)))
    name = f"{writer.fill('{product}_{scene}', rng)}_{world.asset}.{'mp4' if video else 'png'}"
    alt = writer.fill("{product}，{color}，{scene}", rng)
    if rng.random() < 0.01:
        alt = rng.choice(load("hostile"))
    rights = {"owner": rng.choice(("汐木", "agency", "creator")), "until": f"{today.day.year + 2}-12-31"}
    today.batch.add(
        "media_assets", world.asset, world.post, name, "video/mp4" if video else "image/png",
        rng.randrange(4_000_000, 90_000_000) if video else rng.randrange(40_000, 4_000_000),
        sha256(thumbnail + name.encode()).digest(), f"({width},{height})", alt, as_json(rights), thumbnail,
    )  # fmt: skip
    world.asset += ASSET_STEP


def _comments(today: _Day) -> list[tuple[int, RecentPost]]:
    """Returns the unhappy ones (comment id, post), from which complaints grow."""
    rng, world, upset = today.rng, today.world, []
    if not world.recent:
        return []
    for _ in range(today.count(_COMMENTS)):
        post = world.recent[int(len(world.recent) * rng.random() ** 0.5)]
        mood = rng.choices(_MOODS, (38, 27, 27, 8))[0]
        texts = load("comments")[post.lang]
        body = writers()[post.lang].text(texts[mood], rng)
        if rng.random() < _HOSTILE_COMMENTS:
            body = rng.choice(load("hostile"))
        at = today.moment(post.at)
        number = _comment(today, post, None, _nickname(post.lang, rng), body, mood, at)
        if mood in ("unhappy", "angry"):
            upset.append((number, post))
        if rng.random() < (0.35 if mood != "happy" else 0.1):
            answer = writers()[post.lang].text(texts["reply"][mood], rng)
            brand = "汐木" if post.lang == "zh" else "Ximu"
            _comment(today, post, number, brand, answer, None, today.moment(at))
    return upset


def _comment(
    today: _Day,
    post: RecentPost,
    parent: int | None,
    nickname: str,
    body: str,
    mood: str | None,
    at: datetime,
) -> int:
    rng, number = today.rng, today.world.comment
    feeling = round(rng.uniform(*_FEELING[mood]), 4) if mood and rng.random() < 0.9 else None
    flags = [f for f, share in (("spam", 0.02), ("vip", 0.03), ("含图", 0.1)) if rng.random() < share]
    if mood == "angry":
        flags.append("urgent")
    region = writers()["zh"].word("city", rng) if post.lang == "zh" and mood else None
    today.batch.add(
        "comments", number, post.id, parent, nickname, rng.randbytes(16), body, post.lang, feeling,
        min(int(rng.paretovariate(1.1)), 900_000) - 1, region, flags, "spam" in flags, at,
    )  # fmt: skip
    today.world.comment += 1
    return number


def _nickname(lang: str, rng: Random) -> str:
    if rng.random() < _HOSTILE_NAMES:
        text: str = rng.choice(load("hostile"))
        return text
    names = load("comments")["nickname"]
    if lang == "en":
        return f"{rng.choice(names['en'])}{rng.randrange(100)}"
    tail = str(rng.randrange(1000)) if rng.random() < 0.4 else ""
    return f"{rng.choice(names['zh_head'])}{rng.choice(names['zh_tail'])}{tail}"


def add_contact(at: datetime, lang: str, kind: str, world: World, batch: Batch, rng: Random) -> int:
    """A new contact; returns its id."""
    number = world.contact
    city = writers()[lang].word("city", rng)
    house = rng.randrange(1, 999)
    street = f"示例路 {house} 号" if lang == "zh" else f"{house} Example Street"
    consent = {"research": rng.random() < 0.6, "marketing": rng.random() < 0.3, "asked_on": f"{at:%Y-%m-%d}"}
    batch.add(
        "contacts", number, kind, people.full_name(lang, rng), people.phone(rng), people.email(number, rng),
        people.wechat_id(number) if lang == "zh" and rng.random() < 0.7 else None, city,
        as_json({"city": city, "street": street, "lines": []}), as_json(consent), at,
    )  # fmt: skip
    world.contact += 1
    return number


def _complaints(today: _Day, upset: list[tuple[int, RecentPost]]) -> None:
    rng, world, batch = today.rng, today.world, today.batch
    for _ in range(today.count(_COMPLAINTS)):
        comment, post = rng.choice(upset) if upset and rng.random() < 0.6 else (None, None)
        account = today.office.accounts[post.account_id - 1] if post else rng.choice(today.office.accounts)
        at = today.moment()
        old_friend = world.contact > 1 and rng.random() < 0.4
        contact = (
            rng.randrange(1, world.contact) if old_friend
            else add_contact(at, account.lang, "customer", world, batch, rng)
        )  # fmt: skip
        category = rng.choices(tuple(_CATEGORIES), tuple(_CATEGORIES.values()))[0]
        severity = (
            rng.choice(("high", "critical")) if category == "safety"
            else rng.choices(("low", "medium", "high"), (50, 40, 10))[0]
        )  # fmt: skip
        subject, body = _complaint_text(category, account.lang, rng)
        order = f"XM{today.day:%y%m%d}{rng.randrange(10**8):08d}" if rng.random() < 0.85 else None
        claimed = f"{rng.randrange(1500, 189900) / 100:.2f}" if rng.random() < 0.5 else None
        batch.add(
            "complaints", world.complaint, account.id, comment, contact, None, category, severity, "new",
            subject, body, order, claimed, None, at, at, None,
        )  # fmt: skip
        detail = {"channel": rng.choice(("comment", "hotline", "dm", "mail")), "by": "customer"}
        batch.add(
            "complaint_events", world.event, world.complaint, at, None, None, "new", None, as_json(detail)
        )
        world.event += 1
        world.cases[world.complaint] = Case(world.complaint, "new", severity, None, account.lang, at)
        world.complaint += 1


def _complaint_text(category: str, lang: str, rng: Random) -> tuple[str, str]:
    texts, writer = load("complaints")[lang], writers()[lang]
    same: dict[str, str] = {}  # subject, facts and demand speak of one product and one fault
    subject = writer.text(texts["subject"][category], rng, same)
    parts = [writer.text(texts["fact"][category], rng, same), writer.text(texts["history"], rng, same)]
    parts.append(writer.text(texts["demand"]["any"] + texts["demand"][category], rng, same))
    if rng.random() < _HOSTILE_COMPLAINTS:
        parts.append(rng.choice(load("hostile")))
    return subject, ("" if lang == "zh" else " ").join(filter(None, parts))


def _advance(today: _Day) -> list[Step]:
    """Open complaints move on; rows of this batch in place, those of the database as steps to take."""
    rng, world, steps = today.rng, today.world, []
    own = {row[0]: index for index, row in enumerate(today.batch.rows.get("complaints", ()))}
    last = datetime.combine(today.day, time(23, 30), CHINA)
    for case in list(world.cases.values()):
        chance = 0.75 if case.severity in ("high", "critical") else 0.45
        while case.status != "closed" and case.at < last and rng.random() < chance:
            step = _step(today, case)
            if case.id in own:
                _write_step(today, own[case.id], step, case, rng)
            else:
                steps.append(step)
            case.status, case.assignee_id, case.at = step.status, step.assignee_id, step.at
        if case.status == "closed":
            del world.cases[case.id]
    return steps


def _step(today: _Day, case: Case) -> Step:
    status = today.rng.choice(_NEXT[case.status])
    assignee = case.assignee_id or today.rng.choice(today.office.agents)
    pleased = today.rng.choices((1, 2, 3, 4, 5), (8, 10, 20, 32, 30))[0] if status == "closed" else None
    return Step(case.id, status, assignee, today.moment(case.at), pleased)


def _write_step(today: _Day, index: int, step: Step, case: Case, rng: Random) -> None:
    rows, world = today.batch.rows["complaints"], today.world
    row = list(rows[index])
    row[4], row[7], row[14] = step.assignee_id, step.status, step.at
    if step.status == "closed":
        row[12], row[15] = step.satisfaction, step.at
    rows[index] = row
    note = writers()[case.lang].text(load("complaints")[case.lang]["note"][step.status], rng) or None
    today.batch.add(
        "complaint_events", world.event, step.id, step.at, step.assignee_id, case.status, step.status, note,
        as_json({"by": "agent"}),
    )  # fmt: skip
    world.event += 1


def _metrics(today: _Day) -> None:
    rng, accounts = today.rng, today.office.accounts
    share: Callable[[int, float], int] = lambda base, most: int(base * most * rng.random())  # noqa: E731
    for post in today.world.recent:
        age = (today.day - post.at.astimezone(CHINA).date()).days
        views = int(accounts[post.account_id - 1].followers * 0.06 * rng.paretovariate(1.6) / (1 + 2 * age))
        sources = {"推荐": share(views, 0.6), "关注": share(views, 0.3), "搜索": share(views, 0.1)}
        watched = timedelta(seconds=share(views, 20.0)) if rng.random() < 0.4 else None
        today.batch.add(
            "post_metrics", post.id, today.day, views, share(views, 0.08), share(views, 0.02),
            share(views, 0.03), watched, as_json(sources),
        )  # fmt: skip
