"""Who comes in, for how long, and to what."""

import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from console_house import CHEAP, PASSWORD, House, form_token, send, sign_in
from fastapi.routing import APIRoute

from tidewatch.access import passwords, sessions, users
from tidewatch.access.roles import RIGHTS, ROLES
from tidewatch.console.forms import Needs, signed_form
from tidewatch.console.security import CONTENT_POLICY, MAX_BODY
from tidewatch.core.database import connect
from tidewatch.core.errors import AlreadyExists, ConfigError, NotFound

PAGES = {
    "/backups": "backups.read",
    "/backups/nothing": "backups.read",
    "/restores": "restores.read",
    "/restores/run?run=nothing": "restores.read",
    "/restores/report.json?run=nothing": "restores.read",
    "/restores/tests/nothing": "restores.read",
    "/findings": "findings.read",
    "/findings/0": "findings.read",
    "/holds": "holds.read",
    "/holds/new": "holds.change",
    "/holds/nothing/lift": "holds.change",
    "/evidence": "evidence.read",
    "/evidence/records/0": "evidence.read",
    "/quality": "quality.read",
    "/quality/judgement?gate=a&run=b&subject=c": "quality.read",
    "/quality/rows": "quality.rows",
    "/quality/docs/index.html": "quality.rows",
    "/model": "model.read",
    "/model/retraining?run=nothing": "model.read",
    "/labelling": "labelling.read",
}
ACTS = {
    "/backups/nothing/verify": "backups.verify",
    "/restores/sign": "restores.sign",
    "/findings/0/close": "findings.close",
    "/holds": "holds.change",
    "/holds/nothing/lift": "holds.change",
    "/evidence/export": "evidence.read",
    "/quality/rows": "quality.rows",
    "/labelling": "labelling.label",
    "/model/decide": "model.decide",
}
OPEN = {"/sign-in", "/sign-out", "/static/{name}", "/"}


def routes(house: House) -> list[APIRoute]:
    found: list[APIRoute] = []
    waiting = list(house.app.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        waiting += getattr(getattr(route, "original_router", None), "routes", [])
    return found


def test_every_route_needs_a_right_and_every_act_a_form_of_the_session(house: House) -> None:
    seen = routes(house)
    assert len(seen) >= len(PAGES) + len(ACTS)
    for route in seen:
        calls = [dependency.call for dependency in route.dependant.dependencies]
        if route.path not in OPEN:
            assert any(isinstance(call, Needs) for call in calls), f"{route.path} needs no right"
        if route.methods == {"POST"} and route.path != "/sign-in":
            assert signed_form in calls, f"{route.path} takes any form"


@pytest.mark.parametrize("address", [*PAGES, "/", "/nowhere", "/static/console.js", "/docs", "/openapi.json"])
def test_nobody_sees_anything_without_signing_in(house: House, address: str) -> None:
    answer = house.client().get(address)
    assert (answer.status_code, answer.text) == (303, "")
    assert answer.headers["location"].startswith("/sign-in")
    assert house.client().head(address).status_code == 401


def test_only_the_style_sheet_and_the_sign_in_page_are_open(house: House) -> None:
    assert house.client().get("/static/console.css").status_code == 200
    page = house.client().get("/sign-in").text
    assert "ops" not in page and "/backups" not in page


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_pages_and_no_others(house: House, role: str) -> None:
    client = house.client(role)
    for address, right in PAGES.items():
        status = client.get(address).status_code
        if right in RIGHTS[role]:
            assert status in (200, 303, 404), (address, status)
        else:
            assert status == 403, (address, status)
    linked = set(re.findall(r'<li><a href="/(\w+)"', client.get("/").text or client.get("/nowhere").text))
    assert linked == {r.partition(".")[0] for r in RIGHTS[role] if r.endswith(".read")}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_acts_as_it_may_and_no_further(house: House, role: str) -> None:
    client = house.client(role)
    token = form_token(client, "/nowhere")
    for address, right in ACTS.items():
        status = client.post(address, data={"form_token": token}).status_code
        if right in RIGHTS[role]:
            assert status != 403, address
        else:
            assert status == 403, address


def test_an_auditor_reads_the_evidence_and_does_nothing_else() -> None:
    assert RIGHTS["auditor"] == {"evidence.read"}


@pytest.mark.parametrize("address", ACTS)
def test_an_act_without_the_token_of_this_session_is_refused(house: House, address: str) -> None:
    engineer, compliance = house.client("engineer"), house.client("compliance")
    theirs = form_token(compliance)
    for client in (engineer, compliance):
        for token in ("", "0" * 64, "ü", theirs if client is engineer else ""):
            assert client.post(address, data={"form_token": token}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "https://["},
        {"origin": "https://console.test.evil.test"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_form_on_another_site_is_refused_although_it_has_the_token(
    house: House, headers: dict[str, str]
) -> None:
    client = house.client("auditor")
    fields = {"form_token": form_token(client)}
    assert client.post("/sign-out", data=fields, headers=headers).status_code == 403
    assert client.get("/evidence").status_code == 200


def test_requests_that_no_form_makes_are_refused(house: House) -> None:
    client = house.client("engineer")
    assert client.put("/holds").status_code == 405
    assert client.delete("/backups/x").status_code == 405
    assert client.post("/holds", content=b"x" * (MAX_BODY + 1)).status_code == 413
    assert client.post("/holds", content=iter([b"form_token=x"])).status_code == 411
    assert client.post("/holds", json={"form_token": "x"}).status_code == 415
    files = {"form_token": ("x", b"x")}
    assert client.post("/holds", files=files).status_code == 415


def test_every_answer_carries_the_headers(house: House) -> None:
    client = house.client("engineer")
    for answer in (
        client.get("/backups"),
        client.get("/nowhere"),
        client.post("/holds"),
        house.client().get("/backups"),
        house.client().get("/sign-in"),
        client.get("/findings/x"),
    ):
        headers = answer.headers
        assert headers["content-security-policy"] == CONTENT_POLICY
        assert "unsafe" not in CONTENT_POLICY and "frame-ancestors 'none'" in CONTENT_POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "max-age" in headers["strict-transport-security"]
    assert "strict-transport-security" not in house.client(base="http://127.0.0.1").get("/sign-in").headers


# -- sessions ----------------------------------------------------------------------------------------------


def test_the_cookie_is_for_this_host_over_https_and_not_for_scripts(house: House) -> None:
    cookie = sign_in(house.client(), "the.auditor", PASSWORD).headers["set-cookie"]
    assert cookie.startswith("__Host-tidewatch=")
    for flag in ("HttpOnly", "Secure", "Path=/;", "SameSite=strict"):
        assert flag.lower() in (cookie + ";").lower()
    plain = sign_in(house.client(base="http://127.0.0.1"), "the.auditor", PASSWORD).headers["set-cookie"]
    assert plain.startswith("tidewatch_session=") and "Secure" not in plain


def test_a_session_is_another_one_after_each_sign_in_and_the_one_before_is_over(house: House) -> None:
    client = house.client()
    client.cookies.set("__Host-tidewatch", "fixed-by-somebody-else", domain="console.test", path="/")
    sign_in(client, "the.auditor", PASSWORD)
    first = client.cookies["__Host-tidewatch"]
    assert first != "fixed-by-somebody-else"
    sign_in(client, "the.auditor", PASSWORD)
    assert client.cookies["__Host-tidewatch"] != first
    old = house.client()
    old.cookies.set("__Host-tidewatch", first, domain="console.test", path="/")
    assert old.get("/evidence").status_code == 303


def test_the_table_of_sessions_opens_none(house: House) -> None:
    client = house.client()
    sign_in(client, "the.auditor", PASSWORD)
    token = client.cookies["__Host-tidewatch"]
    stored = [row["token_sha256"] for row in house.query("select token_sha256 from console.sessions")]
    assert token not in stored
    client.cookies.set("__Host-tidewatch", stored[-1], domain="console.test", path="/")
    assert house.client().get("/evidence").status_code == 303


def test_who_signs_out_is_out_on_the_server_too(own_house: House) -> None:
    client = own_house.client("auditor")
    token = client.cookies["__Host-tidewatch"]
    assert send(client, "/sign-out").headers["location"] == "/sign-in"
    client.cookies.set("__Host-tidewatch", token, domain="console.test", path="/")
    assert client.get("/evidence").status_code == 303


def test_a_session_ends_when_nothing_is_done_and_at_last_in_any_case(own_house: House) -> None:
    idle = own_house.client("auditor")
    own_house.clock.now += sessions.IDLE - timedelta(seconds=1)
    assert idle.get("/evidence").status_code == 200
    own_house.clock.now += sessions.IDLE + timedelta(seconds=61)
    assert idle.get("/evidence").status_code == 303

    busy = own_house.client("engineer")
    began = own_house.clock.now
    while own_house.clock.now + timedelta(minutes=29) < began + sessions.LONGEST:
        own_house.clock.pass_by(minutes=29)
        assert busy.get("/evidence").status_code == 200
    own_house.clock.now = began + sessions.LONGEST
    assert busy.get("/evidence").status_code == 303


def test_other_roles_hold_from_the_next_page_on_and_removal_ends_every_session(own_house: House) -> None:
    client = own_house.client("engineer")
    with connect(own_house.dsn, application_name="tests") as conn:
        users.set_roles(conn, "the.engineer", ["auditor"], by="tests", now=own_house.clock())
    assert client.get("/backups").status_code == 403
    with connect(own_house.dsn, application_name="tests") as conn:
        users.remove_user(conn, "the.engineer", by="tests", now=own_house.clock())
    assert client.get("/evidence").status_code == 303
    said = own_house.query("select entry from evidence.ledger where kind = 'user.changed' order by seq desc")
    assert '"change":"removed"' in said[0]["entry"] and '"change":"roles"' in said[1]["entry"]


def test_another_password_ends_every_session(own_house: House) -> None:
    client = own_house.client("auditor")
    with connect(own_house.dsn, application_name="tests") as conn:
        users.set_password(
            conn, "the.auditor", "ebb and flow and ebb", by="tests", now=own_house.clock(), cost=CHEAP
        )
    assert client.get("/evidence").status_code == 303
    assert sign_in(own_house.client(), "the.auditor", PASSWORD).status_code == 401
    assert sign_in(own_house.client(), "the.auditor", "ebb and flow and ebb").status_code == 303


def test_guessing_is_slowed_down_and_others_still_come_in(
    own_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "COST", CHEAP)
    client = own_house.client()
    for _ in range(sessions.HERE.failures):
        answer = sign_in(client, "the.auditor", "wrong wrong wrong")
        assert answer.status_code == 401 and "wrong" in answer.text
    assert sign_in(client, "the.auditor", PASSWORD).status_code == 429
    assert sign_in(client, "the.engineer", PASSWORD).status_code == 303
    own_house.clock.now += sessions.HERE.within + timedelta(seconds=1)
    assert sign_in(client, "the.auditor", PASSWORD).status_code == 303


def test_a_wrong_name_is_answered_like_a_wrong_password_and_is_kept_nowhere(
    own_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "COST", CHEAP)
    asked: list[str | None] = []
    genuine = passwords.fits
    monkeypatch.setattr(passwords, "fits", lambda p, h: asked.append(h) or genuine(p, h))
    known = sign_in(own_house.client(), "the.auditor", "wrong wrong wrong").text
    unknown = sign_in(own_house.client(), "my-password-by-mistake", "wrong wrong wrong").text
    assert unknown.replace("my-password-by-mistake", "the.auditor") == known
    assert len(asked) == 2 and asked[1] is None
    kept = str(own_house.query("select * from console.failures")) + str(
        own_house.query("select subject from evidence.ledger order by seq desc limit 3")
    )
    assert "my-password-by-mistake" not in kept


@pytest.mark.parametrize(
    ("back", "leads_to"),
    [
        ("/evidence?kind=backup.started", "/evidence?kind=backup.started"),
        ("//evil.test/x", "/"),
        ("https://evil.test", "/"),
        ("/\\evil.test", "/"),
        ("javascript:alert(1)", "/"),
        ("/sign-out", "/"),
        ("/x\r\nset-cookie: a=b", "/"),
    ],
)
def test_after_signing_in_nobody_is_led_elsewhere(house: House, back: str, leads_to: str) -> None:
    answer = sign_in(house.client(), "the.auditor", PASSWORD, back=back)
    assert answer.headers["location"] == leads_to


# -- users -------------------------------------------------------------------------------------------------


def test_an_address_that_is_none_is_no_defect(house: House) -> None:
    assert house.client().get("/sign-in", params={"back": "//["}).status_code == 200
    answer = sign_in(house.client(), "the.auditor", PASSWORD, back="http://[")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_no_answer_leads_to_the_host_that_a_request_names(house: House) -> None:
    client = house.client("engineer")
    for address in ("/evidence/", "/backups/", "/holds/new/", "/nowhere/"):
        answer = client.get(address, headers={"host": "elsewhere.example"})
        assert answer.status_code == 404 and "elsewhere" not in str(answer.headers)


def test_a_password_is_kept_as_a_salted_hash_of_the_recommended_cost(own_house: House) -> None:
    with connect(own_house.dsn, application_name="tests") as conn:
        users.add_user(conn, "li.wei", PASSWORD, ["auditor"], by="tests", now=own_house.clock())
    rows = own_house.query("select name, password from console.users")
    kept = {row["name"]: row["password"] for row in rows}
    assert kept["li.wei"].startswith("scrypt$131072$8$1$")
    assert passwords.fits(PASSWORD, kept["li.wei"])
    assert len(set(kept.values())) == len(kept), "the same password has the same hash"
    assert not passwords.fits(PASSWORD + ".", kept["the.auditor"])


@pytest.mark.parametrize("password", ["short", "x" * 40, "the.user is my name", "y" * 129])
def test_a_password_that_is_easy_to_guess_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(ConfigError) as error:
        passwords.hash_password(password, name="the.user", cost=CHEAP)
    assert password not in str(error.value)


def test_generated_passwords_can_be_used_and_differ() -> None:
    made = {passwords.generate() for _ in range(50)}
    assert len(made) == 50
    assert all(passwords.fits(p, passwords.hash_password(p, name="li.wei", cost=CHEAP)) for p in made)


def test_users_are_people_with_known_roles(own_house: House) -> None:
    with connect(own_house.dsn, application_name="tests") as conn:
        now = own_house.clock()

        def add(name: str, *roles: str) -> None:
            users.add_user(conn, name, PASSWORD, roles, by="tests", now=now, cost=CHEAP)

        for name in ("", "a b", "x" * 65, "li\u202ewei", "li\x00wei"):
            with pytest.raises(ConfigError):
                add(name, "auditor")
        for roles in ((), ("king",), ("auditor", "king")):
            with pytest.raises(ConfigError):
                add("li.wei", *roles)
        add("李伟", "auditor", "compliance")
        conn.commit()
        with pytest.raises(AlreadyExists):
            add("李伟", "auditor")
        conn.rollback()
        with pytest.raises(NotFound):
            users.remove_user(conn, "nobody", by="tests", now=now)
        assert [u.roles for u in users.users(conn) if u.name == "李伟"] == [{"auditor", "compliance"}]


def test_a_form_that_is_longer_than_it_says_is_not_read_to_its_end(house: House) -> None:
    """As with `Transfer-Encoding: chunked` beside a length, for servers that let both through."""
    long = b"name=a&password=" + b"x" * MAX_BODY
    kind = {"content-type": "application/x-www-form-urlencoded", "content-length": "12"}
    assert house.client().post("/sign-in", content=long, headers=kind).status_code == 413


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5000])
def test_a_length_that_is_no_number_is_no_defect(house: House, length: str) -> None:
    answer = house.client("auditor").post("/sign-out", headers={"content-length": length.encode("latin-1")})
    assert answer.status_code in (411, 413)


def test_a_password_that_is_changed_while_somebody_signs_in_with_it_ends_that_session_too(
    own_house: House,
) -> None:
    now = own_house.clock()
    with connect(own_house.dsn, application_name="tests") as entering:
        token = sessions.sign_in(entering, "the.auditor", PASSWORD, address="", previous=None, now=now)
        assert token is not None
        with connect(own_house.dsn, application_name="tests") as changing:
            changing.execute("set lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                users.set_password(
                    changing, "the.auditor", "another long sentence", by="tests", now=now, cost=CHEAP
                )
            changing.rollback()


@pytest.mark.parametrize("headers", [{}, {"range": "lines=1"}, {"range": "bytes=999999999-"}])
def test_an_export_leaves_nothing_behind_on_the_server(
    own_house: House, keys: Any, headers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_house.settings.signing_key_file = keys.signing_key_file
    own_house.settings.verify_key_file = keys.verify_key_file
    client = own_house.client("auditor")
    fields = {"form_token": form_token(client)}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = client.post("/evidence/export", data=fields, headers=headers)
    assert answer.status_code == 200 and answer.content.startswith(b"PK")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert list(tmp_path.glob("tidewatch-export-*")) == []
