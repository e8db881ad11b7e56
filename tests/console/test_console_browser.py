"""The console in a real browser: pages in both languages, light and dark, on a desk and on a phone; the main
paths by mouse and by keyboard; axe-core judges each page."""

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_house import PASSWORD, House
from test_console_pages import every_page

pytestmark = pytest.mark.browser

ALSO_ON_A_PHONE = {
    "backups", "backup", "restores", "run", "evidence", "new hold", "model", "retraining", "labelling",
}  # fmt: skip
"""Judging a page takes a second: on a phone those with something of their own."""
SIZES = {"desk": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed (on Debian: apt-get install chromium)")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="the dev group of pyproject.toml has playwright"
    )
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(house: House) -> Iterator[str]:
    """The house on a port of its own."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(house.app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


class Person:
    """Somebody at a browser, who has signed in by typing."""

    def __init__(self, browser: Any, address: str, role: str | None, **looks: Any) -> None:
        self.address = address
        self.context = browser.new_context(**{"locale": "en-US", **looks})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.goto(address)
        if role is not None:
            self.page.fill("[name=name]", f"the.{role}")
            self.page.fill("[name=password]", PASSWORD)
            self.page.press("[name=password]", "Enter")
            self.page.wait_for_selector("nav.pages")

    def go(self, where: str) -> Any:
        self.page.goto(self.address + where)
        return self.page


@pytest.mark.parametrize(
    ("language", "colours", "size"),
    [("en", "light", "desk"), ("zh", "dark", "phone")],
)
def test_axe_finds_nothing_on_any_page_and_nothing_sticks_out(
    browser: Any, address: str, house: House, language: str, colours: str, size: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    width, height = SIZES[size]
    person = Person(
        browser, address, "engineer", locale={"en": "en-US", "zh": "zh-CN"}[language], color_scheme=colours,
        viewport={"width": width, "height": height},
    )  # fmt: skip
    axe, problems = Axe(), []
    for name, where in {**every_page(house), "nowhere": "/nowhere"}.items():
        page = person.go(where)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            problems.append((name, "wider than the window"))
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == colours
        if size == "phone" and name not in ALSO_ON_A_PHONE:
            continue
        for violation in axe.run(page).response["violations"]:
            problems.append((name, violation["id"], violation["impact"], violation["nodes"][0]["target"]))
    assert problems == []
    assert [c for c in person.complaints if "404" not in c] == []
    person.context.close()


def test_the_sign_in_page_is_accessible_and_says_what_was_wrong(browser: Any, address: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = Person(browser, address, None).page
    assert Axe().run(page).response["violations"] == []
    page.fill("[name=name]", "the.auditor")
    page.fill("[name=password]", "not the password")
    page.click("main button")
    assert page.inner_text("[role=alert]") == "Name or password is wrong."
    assert page.input_value("[name=name]") == "the.auditor"
    assert Axe().run(page).response["violations"] == []
    page.context.close()


def test_from_the_map_to_a_backup_by_keyboard_alone(browser: Any, address: str) -> None:
    person = Person(browser, address, "engineer", viewport={"width": 1280, "height": 900})
    page = person.page
    page.wait_for_selector("table.heat a[tabindex='0']")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('table')?.className") == "heat"
    before = page.evaluate("document.activeElement.href")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    after = page.evaluate("document.activeElement.href")
    assert after != before and "/backups/ops-" in after
    page.keyboard.press("Enter")
    page.wait_for_selector("h1.id")
    assert page.url == after
    person.context.close()


def test_filters_details_and_languages_by_mouse(browser: Any, address: str) -> None:
    person = Person(browser, address, "engineer")
    page = person.go("/backups")
    page.select_option("[name=source]", "media")  # shows the result at once
    page.wait_for_url("**source=media*")
    assert set(page.locator("#list ~ .scroll tbody th").all_inner_texts()) and all(
        text.startswith("media-") for text in page.locator("#list ~ .scroll tbody th").all_inner_texts()
    )
    page.click("text=中文")
    page.wait_for_selector("h1:has-text('备份')")
    assert "source=media" in page.url
    page.click("nav.pages >> text=恢复测试")
    page.locator("svg a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('恢复测试')")
    page.click("nav.pages >> text=发现项")
    page.locator("tbody th a").first.click()
    page.wait_for_selector("h1:has-text('ops.posts')")
    person.context.close()


def test_an_auditor_reads_records_and_is_offered_nothing_else(browser: Any, address: str) -> None:
    person = Person(browser, address, "auditor")
    page = person.page
    assert page.locator("nav.pages a").all_inner_texts() == ["Evidence"]
    page.locator("tbody th a").first.click()
    page.wait_for_selector("pre")
    assert person.go("/backups").inner_text("main p") == "Your role does not allow this."
    page.click("text=Sign out")
    page.wait_for_selector("[name=password]")
    page.go_back()
    assert page.locator("nav.pages").count() == 0, "the page before was kept by the browser"
    person.context.close()


def test_without_scripts_everything_is_there(browser: Any, address: str, house: House) -> None:
    person = Person(browser, address, "engineer", java_script_enabled=False)
    page = person.go("/backups")
    page.select_option("[name=source]", "ops")
    page.click("form.filter button")
    assert page.locator("#list ~ .scroll tbody th").first.inner_text().startswith("ops-")
    page.locator("table.heat a").last.click()
    assert page.locator("h1.id").inner_text().startswith("ops-")
    page = person.go("/holds/new")
    page.select_option("[name=source]", "ops")
    page.fill("[name=holder]", "x" * 10)
    page.fill("[name=reason]", "no such backup")
    page.fill("[name=backup_id]", "ops-nothing")
    page.click("main button")
    assert page.locator("[role=alert]").count() == 1
    person.context.close()


def labelled(house: House) -> list[str]:
    rows = house.query("select label from sentiment.labels where annotator = 'the.analyst' order by label_id")
    return [row["label"] for row in rows]


def test_posts_are_labelled_skipped_and_corrected_by_keyboard_alone(
    browser: Any, address: str, house: House
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    person = Person(browser, address, "analyst", viewport={"width": 1280, "height": 900})
    page, before = person.go("/labelling"), labelled(house)
    first = page.inner_text(".post")
    pressed = "(more) => document.dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, ...more}))"
    page.evaluate(pressed, {"key": "1", "repeat": True})
    page.keyboard.press("Control+3")
    page.evaluate(pressed, {"key": "２"})  # of a Chinese keyboard
    page.wait_for_selector(".last")
    assert page.inner_text(".post") != first
    assert Axe().run(page).response["violations"] == []
    page.keyboard.press("u")
    page.wait_for_url("**post=*")
    assert page.inner_text(".post") == first
    page.keyboard.press("3")
    page.wait_for_url("**done=*")
    second = page.inner_text(".post")
    page.keyboard.press("s")
    page.wait_for_url("**skipped=*")
    third = page.inner_text(".post")
    assert len({first, second, third}) == 3
    assert labelled(house) == [*before, "neutral", "positive"], "a held key, or one with Ctrl, has answered"

    page.click("button.shortcuts")
    page.keyboard.press("1")
    page = person.go("/labelling")
    assert page.get_attribute("button.shortcuts", "aria-pressed") == "false"
    page.keyboard.press("1")
    page.click("button.shortcuts")
    page.keyboard.press("0")
    page.wait_for_selector(".last")
    assert labelled(house) == [*before, "neutral", "positive", "unclear"], "switched off, a key has answered"
    assert person.complaints == []
    person.context.close()


def test_posts_are_labelled_on_a_phone_without_scripts(browser: Any, address: str, house: House) -> None:
    looks = {"locale": "zh-CN", "viewport": {"width": 360, "height": 740}}
    person = Person(browser, address, "analyst", java_script_enabled=False, **looks)
    page, before = person.go("/labelling"), labelled(house)
    first = page.inner_text(".post")
    page.click("button:has-text('正面')")
    assert page.inner_text(".last .excerpt") == first and "正面" in page.inner_text(".last")
    page.click("text=修改上一条")
    page.click("button:has-text('无法判断')")
    page.click("text=跳过")
    assert labelled(house) == [*before, "positive", "unclear"]
    assert page.locator("button.shortcuts").is_hidden()
    person.context.close()


def test_screenshots_for_the_eye(
    browser: Any, address: str, house: House, request: pytest.FixtureRequest
) -> None:
    """With TIDEWATCH_SHOTS=DIR every page is written there; the repository keeps none."""
    import os

    directory = os.environ.get("TIDEWATCH_SHOTS")
    if not directory:
        pytest.skip("set TIDEWATCH_SHOTS to a directory to have every page written there")
    for language in ("en-US", "zh-CN"):
        for colours in ("light", "dark"):
            for size, (width, height) in SIZES.items():
                person = Person(
                    browser, address, "engineer", locale=language, color_scheme=colours,
                    viewport={"width": width, "height": height},
                )  # fmt: skip
                for name, where in every_page(house).items():
                    file = f"{name.replace(' ', '-')}-{language[:2]}-{colours}-{size}.png"
                    person.go(where).screenshot(path=str(Path(directory) / file), full_page=True)
                person.context.close()
