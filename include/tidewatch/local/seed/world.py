"""What one day must know of the days before: the next numbers, recent posts, open complaints."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from tidewatch.core.database import Connection
from tidewatch.local.seed.office import CHINA

RECENT_DAYS = 3
"""A post gathers comments and daily figures on its own day and on the two after it."""

ASSET_STEP = 10


@dataclass(frozen=True)
class RecentPost:
    """A published post that still moves."""

    id: int
    account_id: int
    lang: str
    at: datetime


@dataclass
class Case:
    """A complaint that is still open."""

    id: int
    status: str
    severity: str
    assignee_id: int | None
    lang: str
    at: datetime


@dataclass
class World:
    """The next free id of each table, and what is still moving."""

    scale: float
    post: int = 1
    comment: int = 1
    contact: int = 1
    complaint: int = 1
    event: int = 1
    asset: int = 1000
    recent: list[RecentPost] = field(default_factory=list)
    cases: dict[int, Case] = field(default_factory=dict)

    def forget_before(self, day: date) -> None:
        """Drop posts that no longer move on `day`."""
        oldest = day - timedelta(days=RECENT_DAYS - 1)
        self.recent = [post for post in self.recent if post.at.astimezone(CHINA).date() >= oldest]


def load_world(conn: Connection, scale: float, day: date, lang_of_account: dict[int, str]) -> World:
    """The world as the database has it, ready for `day`."""
    world = World(scale=scale)
    numbers = conn.execute(
        """
        select (select coalesce(max(id), 0) + 1 from ops.posts) as post,
               (select coalesce(max(id), 0) + 1 from ops.comments) as comment,
               (select coalesce(max(id), 0) + 1 from ops.contacts) as contact,
               (select coalesce(max(id), 0) + 1 from ops.complaints) as complaint,
               (select coalesce(max(id), 0) + 1 from ops.complaint_events) as event,
               (select coalesce(max(id) + 10, 1000) from ops.media_assets) as asset
        """
    ).fetchone()
    for name, value in (numbers or {}).items():
        setattr(world, name, value)
    since = datetime.combine(day - timedelta(days=RECENT_DAYS), datetime.min.time(), CHINA)
    posts = conn.execute(
        "select id, account_id, lang, published_at from ops.posts "
        "where state = 'published' and published_at >= %s order by id",
        (since,),
    )
    world.recent = [RecentPost(r["id"], r["account_id"], r["lang"], r["published_at"]) for r in posts]
    world.forget_before(day)
    cases = conn.execute(
        "select id, status::text, severity::text, assignee_id, account_id, updated_at from ops.complaints "
        "where status <> 'closed' order by id"
    )
    for r in cases:
        lang = lang_of_account[r["account_id"]]
        case = Case(r["id"], r["status"], r["severity"], r["assignee_id"], lang, r["updated_at"])
        world.cases[case.id] = case
    return world
