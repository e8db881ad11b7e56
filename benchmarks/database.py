"""The database that is backed up, made by the server itself: the same rows for the same seed, at any size.

Wide rows (300 bytes of pg_dump output or so) are posts: Chinese text of random phrases, names, a JSON
document, a link with random digits, numbers, times. Narrow ones (under 120) are numbers and times only.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
from psycopg import sql

GB = 10**9
_VARIETY = 50_000
"""So many rows of text there are; beyond them the text comes again, 10 MB and more later and with other
numbers, too far for zstd's window and never at the distance of a block."""
_NARROW = 120
_FIXED = 228
"""Bytes of a wide row besides its text, as pg_dump writes it."""
_PHRASE = 17.5
_PHRASES = (
    "今天收到货了,,质量很好,,客服回复太慢,,物流比上次快,,包装有破损,,颜色和图片不一样,,会推荐给朋友,,性价比高,,"
    "第二次购买,,申请退款三天没有结果,,活动力度很大,,直播间价格更低,,味道一般,,做工精细,,尺码偏小,,"
    "已经联系客服处理,,赠品没有收到,,孩子很喜欢,,用了一周效果明显,,说明书看不懂,,电池不耐用,,屏幕清晰,,"
    "声音有点大,,希望尽快解决,,售后态度好,,等了很久才发货,,怀疑不是正品,,价格又降了,,非常失望,,"
    "五星好评,,和描述一致,,下次还会来"
)
_BASE = """
create unlogged table base_post as
select g as n,
       (get_byte(d, 0) * 256 + get_byte(d, 1)) % 900 as account_id,
       (array['weibo', 'douyin', 'xiaohongshu', 'wechat', 'bilibili'])[1 + get_byte(d, 3) % 5] as platform,
       '用户' || substr(encode(d, 'hex'), 57, 6) as author,
       {body} as body,
       get_byte(d, 5) * get_byte(d, 6) / (1 + get_byte(d, 7)) as likes,
       (get_byte(d, 8) / 128.0 - 1)::numeric(5, 4) as sentiment,
       jsonb_build_object('device', (array['ios', 'android', 'web'])[1 + get_byte(d, 9) % 3],
                          'city', get_byte(d, 10), 'reply', null, 'verified', get_byte(d, 11) > 200) as meta
  from generate_series(0, {last}::bigint) g,
       lateral (select sha256(({seed} || ':' || g)::bytea) as d) x,
       (select string_to_array({words}, ',,') as p) z
"""
_WIDE = """
create table {table} as
select id, account_id, timestamptz '2026-01-01 00:00+08' + make_interval(secs => id * 7) as created_at,
       platform, author, body, likes, sentiment, meta, digits::uuid as device,
       'https://example.com/p/' || substr(digits, 11, 16) as url
  from generate_series({first}::bigint, {last}::bigint, {base}::bigint) g
 cross join lateral (select g + n as id, base_post.* from base_post offset 0) b,
       lateral (select md5({seed} || id::text) as digits) y
 where id <= {last}::bigint
"""
_SLIM = """
create table {table} as
select g as id,
       hashint8(g + {seed}::bigint) & 1023 as account_id,
       timestamptz '2026-01-01 00:00+08' + make_interval(secs => g * 7) as created_at,
       abs(hashint8(g * 31 + {seed}::bigint) % 100000) as views
  from generate_series({first}::bigint, {last}::bigint) g
"""


@dataclass(frozen=True)
class Shape:
    """How much, in how many tables, how wide."""

    bytes: int
    """Of pg_dump's output, about."""
    tables: int = 4
    row_bytes: int = 300
    seed: int = 1

    @property
    def rows(self) -> int:
        return self.bytes // max(self.row_bytes, 48 if self.row_bytes < _NARROW else 250)


def _body(phrases: int) -> sql.Composable:
    """Phrases picked by the bytes of the row's digest."""
    picked = [f"p[1 + get_byte(d, {k % 32}) / {1 + k // 32} % 32]" for k in range(phrases)]
    return sql.SQL(" || '，' || ".join(picked))


def fill(dsn: str, shape: Shape) -> None:
    """Create and fill `post_000`…, two tables at a time, each with a primary key, vacuumed and at rest."""
    each = shape.rows // shape.tables
    narrow = shape.row_bytes < _NARROW
    values = {"seed": sql.Literal(str(shape.seed)), "base": sql.Literal(_VARIETY)}
    with psycopg.connect(dsn, autocommit=True) as conn:
        if not narrow:
            phrases = max(2, round((shape.row_bytes - _FIXED) / _PHRASE))
            last, words = sql.Literal(min(_VARIETY, each) - 1), sql.Literal(_PHRASES)
            conn.execute(sql.SQL(_BASE).format(body=_body(phrases), last=last, words=words, **values))

        def one(number: int) -> None:
            _table(dsn, number, sql.SQL(_SLIM if narrow else _WIDE), each, values)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, range(shape.tables)))
        conn.execute("drop table if exists base_post")
        conn.execute("checkpoint")


def _table(dsn: str, number: int, rows: sql.SQL, each: int, values: Mapping[str, sql.Composable]) -> None:
    name = sql.Identifier(f"post_{number:03}")
    first = number * each + 1
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("set maintenance_work_mem = '256MB'")
        conn.execute("set synchronize_seqscans = off")
        span = {"first": sql.Literal(first), "last": sql.Literal(first + each - 1)}
        conn.execute(rows.format(table=name, **span, **values))
        conn.execute(sql.SQL("alter table {} set (autovacuum_enabled = false)").format(name))
        conn.execute(sql.SQL("alter table {} add primary key (id)").format(name))
        conn.execute(sql.SQL("vacuum (freeze, analyze) {}").format(name))
