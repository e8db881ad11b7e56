"""What the pages show, in both languages, whatever stands in the tables."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from console_history import NOW, REGIONS, SOURCES
from console_house import House
from model_history import AWAITING, REFUSED, TOO_FEW

from tidewatch.console import chart, heat, show
from tidewatch.console.texts import Texts, accepted, catalogue
from tidewatch.core.database import connect

TEMPLATES = Path(show.__file__).parent / "templates"


class Seen(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def backup_of(house: House, status: str) -> str:
    return str(
        house.query("select backup_id from vault.backups where status = %s limit 1", status)[0]["backup_id"]
    )


def every_page(house: House) -> dict[str, str]:
    """name -> an address that shows something."""
    one = {
        "run": house.query("select run_id from restore.tests order by started_at desc limit 1")[0]["run_id"],
        "test": house.query("select test_id from restore.tests where status = 'failed' limit 1")[0][
            "test_id"
        ],
        "finding": house.query("select finding_id from evidence.findings limit 1")[0]["finding_id"],
        "hold": house.query("select hold_id from vault.holds where lifted_at is null limit 1")[0]["hold_id"],
        "judged": house.query("select * from quality.judgements where not passed limit 1")[0],
    }
    judged = one["judged"]
    return {
        "backups": "/backups",
        "backup": f"/backups/{backup_of(house, 'degraded')}",
        "failed backup": f"/backups/{backup_of(house, 'failed')}",
        "suspect backup": f"/backups/{backup_of(house, 'suspect')}",
        "restores": "/restores",
        "run": f"/restores/run?run={one['run'].replace('+', '%2B')}",
        "test": f"/restores/tests/{one['test']}",
        "findings": "/findings",
        "finding": f"/findings/{one['finding']}",
        "holds": "/holds",
        "new hold": "/holds/new",
        "lift": f"/holds/{one['hold']}/lift",
        "evidence": "/evidence",
        "record": "/evidence/records/7",
        "quality": "/quality",
        "judgement": f"/quality/judgement?gate=backup&run={judged['run_id']}&subject={judged['subject']}",
        "model": "/model",
        "retraining": f"/model/retraining?run={AWAITING}",
        "too few labels": f"/model/retraining?run={TOO_FEW}",
        "refused retraining": f"/model/retraining?run={REFUSED}",
        "labelling": "/labelling",
    }


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_shown_in_both_languages_with_landmarks_and_named_controls(
    house: House, language: str
) -> None:
    client = house.client("engineer")
    for name, address in every_page(house).items():
        answer = client.get(address, headers={"accept-language": language})
        assert answer.status_code == 200, (name, answer.text[:500])
        seen = Seen(answer.text)
        tags = [tag for tag, _ in seen.tags]
        assert [tags.count(t) for t in ("main", "header", "footer", "h1")] == [1] * 4, name
        assert answer.text.partition("</head>")[0].count("<title>") == 1
        assert ("html", {"lang": {"en": "en", "zh": "zh-CN"}[language], "data-theme": "auto"}) in seen.tags
        assert not any("style" in attrs or any(a.startswith("on") for a in attrs) for _, attrs in seen.tags)
        chinese = re.search(
            r"[\u4e00-\u9fff]{4,}",
            re.sub(r"<td.*?</td>|<bdi>.*?</bdi>|<dd>.*?</dd>", "", answer.text, flags=re.DOTALL),
        )
        assert (chinese is not None) == (language == "zh"), (name, chinese)


def test_language_and_colours_are_chosen_by_a_link_and_stay_chosen(house: House) -> None:
    client = house.client()
    page = client.get("/sign-in?lang=zh&theme=dark").text
    assert 'lang="zh-CN" data-theme="dark"' in page
    assert 'lang="zh-CN" data-theme="dark"' in client.get("/sign-in").text
    assert 'lang="en" data-theme="dark"' in client.get("/sign-in?lang=en&theme=<script>").text
    cookies = {c.name: c for c in client.cookies.jar}
    assert cookies["tidewatch_lang"].secure and "HttpOnly" in str(cookies["tidewatch_lang"]._rest)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("de,en;q=0.5,zh;q=0.4", "en"),
        ("en;q=x,zh;q=0.1", "zh"),
    ],
)
def test_the_language_is_the_one_that_the_browser_likes_best(header: str, language: str) -> None:
    assert accepted(header) == language


def test_every_text_is_there_in_both_languages_with_the_same_places_to_fill() -> None:
    for key, texts in catalogue().items():
        places = [sorted(re.findall(r"\{(\w+)\}", text)) for text in texts]
        assert places[0] == places[1], key
        assert all(text.strip() and "<" not in text for text in texts), key


def test_every_text_that_a_template_names_exists_and_every_one_is_used() -> None:
    sources = "".join(f.read_text() for f in TEMPLATES.glob("*.j2"))
    sources += "".join(f.read_text() for f in TEMPLATES.parent.rglob("*.py"))
    named = set(re.findall(r"""["']([a-z_]+(?:\.[a-z0-9_]+)*)["']""", sources))
    missing = {k for k in re.findall(r'\bt\("([\w.]+?)"[,)]', sources) if k not in catalogue()}
    assert not missing
    families = {"cell", "status", "role", "theme", "nav", "said", "phase", "generation", "error", "quality"}
    families |= {
        "backup.check.mode",
        "restores.choice",
        "quality.result",
        "label",
        "queue",
        "measure",
        "alpha",
    }
    families |= {"model.set", "retraining.state", "retraining.by_class", "via", "gate", "missing", "drift"}
    unused = {k for k in catalogue() if k not in named and k.rpartition(".")[0] not in families}
    assert not unused


# -- hostile text ------------------------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"
HOSTILE = f"{SCRIPT} javascript:alert(1) {{{{ 7*7 }}}} '\"> \u202egnp.exe\u2066 \u200b%s &lt;"


def plant(house: House, backup: str) -> None:
    """Hostile text in every field that a source, a store, a file name or a person can fill."""
    with connect(house.dsn, application_name="tests") as conn:
        conn.execute("alter table vault.backups disable trigger user")
        conn.execute(
            """update vault.backups set error = %(x)s, data_class = %(x)s, dag_id = %(x)s, run_id = %(x)s,
               decision_reason = %(x)s, decided_by = %(x)s, decided_at = started_at, status = 'accepted',
               document = document || jsonb_build_object('notes', jsonb_build_array(%(x)s::text),
                   'policy', jsonb_build_object('id', %(x)s::text, 'version', %(x)s::text),
                   'gate', jsonb_build_object('passed', false, 'failures', jsonb_build_array(%(x)s::text),
                                              'warnings', jsonb_build_array(%(x)s::text)),
                   'encryption', jsonb_build_object('key_ids', jsonb_build_array(%(x)s::text)),
                   'objects', jsonb_build_array(jsonb_build_object('name', %(x)s::text,
                        'role', %(x)s::text, 'backup_id', %(x)s::text, 'plain_size', 1,
                        'cipher_size', 1, 'cipher_sha256', %(x)s::text)),
                   'database', jsonb_build_object('server_version', %(x)s::text, 'tables', jsonb_build_array(
                        jsonb_build_object('schema_name', %(x)s::text, 'name', %(x)s::text,
                                           'kind', %(x)s::text, 'rows', 1, 'sha256', %(x)s::text))))
               where backup_id = %(id)s""",
            {"x": HOSTILE, "id": backup},
        )
        conn.execute("alter table vault.backups enable trigger user")
        for statement in (
            "update vault.copies set state = 'failed', error = %(x)s, version_id = %(x)s,"
            " object_key = region || %(x)s where backup_id = %(id)s and object_key like '%%manifest.json'",
            "update evidence.findings set said_zh = %(x)s, said_en = %(x)s, source = %(x)s, region = %(x)s,"
            " subject = %(id)s, kind = 'a.b',"
            " detail = jsonb_build_object(%(x)s::text, %(x)s::text)",
            "insert into evidence.findings (key, kind, severity, source, subject, said_zh, said_en, detail,"
            " opened_at, last_seen_at, opened_seq, closed_at, closed_by, closed_why, closed_seq)"
            " values (%(x)s, 'a.b', 'warning', %(x)s, %(x)s, %(x)s, %(x)s, '{}', now(),"
            " now(), 1, now(), %(x)s, %(x)s, 1)",
            "update vault.holds set holder = %(x)s, reason = %(x)s, placed_by = %(x)s, source = %(x)s,"
            " lift_reason = case when lifted_at is null then null else %(x)s end",
            "update restore.tests set error = %(x)s, checks = jsonb_build_array(jsonb_build_object("
            "'name', %(x)s::text, 'ok', false, 'expected', %(x)s::text, 'found', %(x)s::text,"
            " 'where', %(x)s::text)), phases = jsonb_build_object(%(x)s::text, 1), region = region || %(x)s",
            "update restore.signoffs set signed_by = %(x)s, note = %(x)s",
            "update restore.reports set started_by = %(x)s",
            "insert into console.checks (backup_id, mode, asked_by, asked_at, state, ok, report, ended_at)"
            " values (%(id)s, 'full', %(x)s, now(), 'done', false, jsonb_build_array(jsonb_build_object("
            "'region', %(x)s::text, 'ok', false, 'objects', 1, 'problem', %(x)s::text)), now())",
            "update quality.results set expected = %(x)s, observed = %(x)s, note_zh = %(x)s, note_en = %(x)s,"
            " expectation = %(x)s, success = false",
            "update quality.quarantine set reason = %(x)s, "
            " row = jsonb_build_object(%(x)s::text, %(x)s::text),"
            " row_key = jsonb_build_object(%(x)s::text, %(x)s::text)",
        ):
            conn.execute(statement.encode(), {"x": HOSTILE, "id": backup})
        for table in ("ledger", "head"):
            conn.execute(f"alter table evidence.{table} disable trigger user".encode())
        conn.execute(
            "update evidence.ledger set entry = %(x)s, subject = replace(%(x)s, '%%', '') where seq = 7",
            {"x": HOSTILE},
        )
        conn.execute(
            "update evidence.ledger set entry = %(e)s where seq = 8",
            {"e": json.dumps({"body": {HOSTILE: [HOSTILE]}}, ensure_ascii=False)},
        )


def test_hostile_text_in_any_field_is_shown_as_text(own_house: House) -> None:
    backup = backup_of(own_house, "degraded")
    pages = every_page(own_house) | {"backup": f"/backups/{backup}", "altered": "/evidence/records/8"}
    plant(own_house, backup)
    client = own_house.client("engineer")
    shown = 0
    for name, address in (
        pages | {"filter": "/evidence?subject=" + SCRIPT, "back": "/sign-in?back=" + SCRIPT}
    ).items():
        # Findings say other words in each language.
        languages = ("en", "zh") if name.startswith("finding") else ("en",)
        for language in languages:
            html = client.get(address, headers={"accept-language": language}).text
            seen = Seen(html)
            scripts = [attrs for tag, attrs in seen.tags if tag == "script"]
            assert all((a.get("src") or "").startswith("/static/console.js") for a in scripts), name
            assert not any(tag == "img" for tag, _ in seen.tags), name
            for tag, attrs in seen.tags:
                assert not any(a.startswith("on") or a == "style" for a in attrs), (name, tag, attrs)
                for attribute in ("href", "src", "action"):
                    value = attrs.get(attribute) or "/"
                    assert value.startswith(("/", "#")) and not value.startswith("//"), (name, value)
            assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", seen.text), name
            shown += SCRIPT in seen.text
            assert "49" not in re.findall(r"javascript:alert\(1\) (\S+)", seen.text)
    assert shown >= 13, "the hostile text was hardly shown: the test looks at the wrong fields"


# -- pieces ------------------------------------------------------------------------------------------------


def test_the_best_backup_of_a_day_counts_and_days_without_one_are_holes() -> None:
    days = heat.days_until(date(2026, 11, 22), 5)

    def row(
        day: int, region: str, status: str = "sealed", *, held: bool = True, lacking: bool = False
    ) -> dict[str, Any]:
        return {
            "backup_id": f"ops-{day}", "source": "ops", "region": region, "status": status, "held": held,
            "lacking": lacking, "expired": False, "day": date(2026, 11, day),
        }  # fmt: skip

    rows = [
        row(19, "a", "failed", held=False), row(19, "a"), row(19, "b", "degraded", lacking=True),
        row(21, "a", "suspect"), row(21, "b", "suspect"),
    ]  # fmt: skip
    a, b, c, media = heat.heat_map(rows, days, {"ops": date(2026, 11, 18)}, ["a", "b", "c"]) + heat.heat_map(
        [], days, {"media": None}, ["a"]
    )
    assert [cell.state for cell in a.cells] == ["quiet", "verified", "none", "suspect", "quiet"]
    assert [cell.state for cell in b.cells] == ["quiet", "lacking", "none", "suspect", "quiet"]
    assert {cell.state for cell in c.cells} == {"quiet"}, "ops is not kept in c"
    assert {cell.state for cell in media.cells} == {"quiet"}, "media was never backed up: doctor says so"


def test_the_map_shows_ninety_days_of_every_source_and_region_and_leads_to_each_backup(house: House) -> None:
    html = house.client("compliance").get("/backups").text
    table = html.partition('<table class="heat">')[2].partition("</table>")[0]
    assert table.count("<td>") == 90 * len({*SOURCES, *house.desk.sources()}) * len(REGIONS)
    lately = house.query(
        "select backup_id from vault.backups where started_at > %s order by 1", NOW - timedelta(days=80)
    )
    for row in lately:
        assert table.count(f'href="/backups/{row["backup_id"]}"') == len(REGIONS)


def test_lists_are_read_page_by_page_to_their_end(house: House) -> None:
    client, seen, address = house.client("engineer"), [], "/backups?source=ops"
    while address:
        html = client.get(address).text
        listed = html.partition('id="list"')[2]
        seen += re.findall(r'<th scope="row"><a href="/backups/([^"]+)"', listed)
        following = re.search(r'rel="next" href="([^"]+)"', html)
        address = following[1].replace("&amp;", "&") if following else ""
    known = house.query("select backup_id from vault.backups where source = 'ops' order by started_at desc")
    assert seen == [row["backup_id"] for row in known]


def test_records_are_found_by_kind_beginning_of_subject_and_day(house: House) -> None:
    client = house.client("auditor")
    html = client.get("/evidence?kind=region.probed&subject=ops-&since=2026-11-01&until=2026-11-20").text
    rows = re.findall(r'<tr><th scope="row" class="number">.*?</tr>', html, re.DOTALL)
    assert rows and all("region.probed" in row and ">ops-" in row for row in rows)
    days = re.findall(r">(2026-\d\d-\d\d) \d\d:\d\d</time>", "".join(rows))
    assert min(days) >= "2026-11-01" and max(days) <= "2026-11-20"
    assert client.get("/evidence?since=nonsense&until=9999-12-31&before=9").status_code == 200
    assert client.get("/evidence?before=99999999999999999999").status_code == 400


def test_a_chart_has_a_mark_for_each_measurement_and_a_line_for_the_target() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    points = [
        chart.Point(begin + timedelta(days=30 * n), 600.0 + n, n != 2, "/x", "x", joined=n % 2 == 0)
        for n in range(6)
    ]
    drawn = chart.draw(
        [chart.Series("cn-east", points)], since=begin, until=begin + timedelta(days=150), target=1800
    )
    ((shape, name, path, marks),) = drawn.series
    assert (shape, name, len(marks), path.count("L")) == (0, "cn-east", 6, 2)
    assert all(drawn.left <= m.x <= drawn.right and 0 < m.y < drawn.bottom for m in marks)
    assert drawn.target is not None and drawn.target < min(m.y for m in marks)
    assert [label for _, label in drawn.grid] == ["0", "10 min", "20 min", "30 min", "40 min"]


@pytest.mark.parametrize("highest", [0.001, 0.4, 3, 61, 3599, 7200, 90000, 5e6])
def test_axes_of_any_size_have_a_few_round_lines(highest: float) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    series = [chart.Series("a", [chart.Point(begin, highest, True, "/", "x")])]
    drawn = chart.draw(series, since=begin, until=begin, target=None)
    assert 2 <= len(drawn.grid) <= 7
    assert len({label for _, label in drawn.grid}) == len(drawn.grid)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (0.85, "850 ms"),
        (12.44, "12.4 s"),
        (200, "3 min 20 s"),
        (18720, "5 h 12 min"),
        (183600, "2 d 3 h"),
    ],
)
def test_durations_are_said_in_words(seconds: float | None, shown: str) -> None:
    assert show.duration(seconds) == shown


def test_texts_escape_what_is_put_into_them() -> None:
    said = Texts("en")("backup.decided_by", status="accepted", by=SCRIPT, reason="\u202e")
    assert "<" not in said and "\\u202e" in said


# -- what only some may see --------------------------------------------------------------------------------


def test_quarantined_rows_are_behind_a_request_that_is_recorded(own_house: House) -> None:
    engineer, compliance = own_house.client("engineer"), own_house.client("compliance")
    address = every_page(own_house)["judgement"]
    for client in (engineer, compliance):
        page = client.get(address).text
        assert "row_ratio: 0.41 is below 0.8" in page
        assert "13800000000" not in page
    assert "/quality/rows" not in compliance.get(address).text
    fields = dict(
        re.findall(r'name="(gate|run_id|subject|form_token)" value="([^"]*)"', engineer.get(address).text)
    )
    shown = engineer.post("/quality/rows", data=fields)
    assert "陈小姐 13800000000" in shown.text
    record = own_house.query("select * from evidence.ledger order by seq desc limit 1")[0]
    assert (record["kind"], record["subject"]) == ("console.acted", fields["subject"])
    assert '"by":"the.engineer"' in record["entry"] and "13800000000" not in record["entry"]


def test_pages_of_the_gates_are_served_from_their_directory_alone(house: House) -> None:
    site = house.settings.data_docs_dir
    (site / "judgements").mkdir(parents=True)
    (site / "index.html").write_text("<title>gates</title>")
    (site / "index.json").write_text("[]")
    (site.parent / "secret.html").write_text("secret")
    (site / "link.html").symlink_to(site.parent / "secret.html")
    client = house.client("engineer")
    page = client.get("/quality/docs/index.html")
    assert page.status_code == 200 and "script-src" not in page.headers["content-security-policy"]
    for name in (
        "index.json",
        "../secret.html",
        "%2e%2e/secret.html",
        "link.html",
        "/etc/hostname",
        "x%00.html",
    ):
        assert client.get(f"/quality/docs/{name}").status_code == 404, name


# -- what goes wrong ---------------------------------------------------------------------------------------


def test_a_warehouse_that_does_not_answer_gives_a_page_without_details(
    own_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = own_house.client("engineer")
    own_house.query("alter table evidence.findings rename to gone")
    answer = client.get("/findings")
    assert answer.status_code == 503
    assert "gone" not in answer.text and "evidence.findings" not in answer.text


def test_nothing_of_a_defect_is_shown(own_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is tide")

    client = own_house.client("engineer")
    monkeypatch.setattr(heat, "heat_map", broken)
    quiet = TestClient(own_house.app, base_url="https://console.test", raise_server_exceptions=False)
    quiet.cookies = client.cookies
    answer = quiet.get("/backups")
    assert answer.status_code == 500
    assert "tide" not in answer.text.replace("tidewatch", "").replace('class="tide"', "").lower() or (
        "password" not in answer.text
    )
    assert "Traceback" not in answer.text and answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "address",
    ["/nowhere", "/backups/ops-x", "/backups/%00", "/findings/99999999999999999999", "/evidence/records/0",
     "/restores/run?run=%00x", "/restores/tests/x", "/holds/x/lift",
     "/quality/judgement?gate=a&run=b&subject=c",
     "/static/../app.py", "/static/x"],
)  # fmt: skip
def test_what_is_not_there_is_a_page_that_says_so(house: House, address: str) -> None:
    answer = house.client("engineer").get(address)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


def test_an_address_that_names_no_moment_is_the_first_page(house: House) -> None:
    for after in ("0001-01-01T00:00:00%2B23:59~x", "9999-12-31T23:59:59-23:59~x", "yesterday~x", "%00~%00"):
        answer = house.client("engineer").get(f"/backups?after={after}")
        assert answer.status_code == 200, after
