"""How long each page of the console takes on the server, with years of history behind it.

    .venv/bin/python benchmarks/console.py [--days 1095] [--records 200000] [--labels 100000] [--rounds 5]

A PostgreSQL server of its own, history by SQL (tests/console/console_history.sql), the application called in
this process as a server calls it: everything but the network. Each page is asked for once to warm up and then
`rounds` times; shown are median, worst and size. The exit code is 1 when an answer takes a second.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "include"), str(PROJECT / "tests" / "console")]

from console_history import write  # noqa: E402
from console_house import House  # noqa: E402
from test_console_pages import every_page  # noqa: E402

from tidewatch.core.database import Connection, connect, migrate  # noqa: E402
from tidewatch.local.postgres import LocalPostgres  # noqa: E402

LIMIT_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, default=1095)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--labels", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidewatch-bench-") as home:
        Path(home).chmod(0o711)
        server = LocalPostgres(Path(home) / "pg")
        server.start()
        try:
            return _measure(server, Path(home), options)
        finally:
            server.destroy()


def _label(conn: Connection, count: int) -> None:
    """So many posts with a label each, every fifth of a person, the others of a corpus."""
    for statement in (
        "insert into sentiment.texts select encode(sha256(n::text::bytea), 'hex'), 'text ' || n"
        " from generate_series(1, %(n)s) n",
        "insert into sentiment.posts (post_key, text_sha256, added_at)"
        " select text_sha256, text_sha256, now() from sentiment.texts where text like 'text %%'",
        "insert into sentiment.labels (post_id, label, annotator, source, origin, blind,"
        " labelled_at, recorded_at)"
        " select post_id, (array['negative', 'neutral', 'positive'])[1 + post_id %% 3],"
        " case when post_id %% 5 = 0 then 'li.wei' else 'seed:corpus' end,"
        " case when post_id %% 5 = 0 then 'import' else 'seed' end, 'benchmark', false, now(), now()"
        " from sentiment.posts where platform is null",
    ):
        conn.execute(statement.encode(), {"n": count})
    conn.commit()
    conn.autocommit = True
    conn.execute("vacuum analyze")
    conn.autocommit = False


def _measure(server: LocalPostgres, home: Path, options: argparse.Namespace) -> int:
    server.create_database("console")
    began = time.monotonic()
    with connect(server.dsn("console"), application_name="benchmark") as conn:
        migrate(conn, PROJECT / "sql" / "migrations")
        conn.commit()
        write(conn, days=options.days, records=options.records)
        _label(conn, options.labels)
    history = f"{options.days} days, {options.records} records, {options.labels} labels"
    print(f"history of {history}: {time.monotonic() - began:.0f} s")
    house = House(server.dsn("console"), home)
    client = house.client("engineer")
    pages = every_page(house) | {
        "backups, older": "/backups?after=2024-06-01T00:00:00%2B00:00~x",
        "backups, one source": "/backups?source=ops&status=sealed",
        "restores, 3 years": "/restores?months=36",
        "evidence, by kind": "/evidence?kind=region.probed&before=1000",
        "evidence, by subject": "/evidence?subject=ops-2024",
        "evidence, by day": "/evidence?since=2024-03-01&until=2024-03-02",
        "quality, refused": "/quality?result=refused",
        "quality, page 60": "/quality?number=60",
    }
    print(f"{'page':24} {'median ms':>10} {'worst ms':>9} {'kB':>6}")
    worst_of_all = 0.0
    for name, address in pages.items():
        client.get(address)
        times = []
        for _ in range(options.rounds):
            begin = time.perf_counter()
            answer = client.get(address)
            times.append(time.perf_counter() - begin)
            assert answer.status_code == 200, (name, answer.status_code)
        worst_of_all = max(worst_of_all, *times)
        print(
            f"{name:24} {statistics.median(times) * 1000:10.0f} {max(times) * 1000:9.0f} "
            f"{len(answer.content) / 1000:6.0f}"
        )
    print(f"the slowest answer took {worst_of_all * 1000:.0f} ms; the limit is {LIMIT_S * 1000:.0f} ms")
    return 0 if worst_of_all < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
