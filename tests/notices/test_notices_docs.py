"""docs/notices.md: the addresses it shows can be opened, its try-out runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from catchers import HttpCatcher
from notice_tools import channel

from tidewatch.core.config import read_yaml
from tidewatch.core.settings import load_settings
from tidewatch.notices.channels import NoticesFile

PAGE = (load_settings().project / "docs" / "notices.md").read_text(encoding="utf-8")
URLS = [
    url
    for line in PAGE.splitlines()
    if line.startswith("| ")
    for url in re.findall(r"`([a-z]+://[^`]+)`", line.split("|")[2])
]


def test_the_page_shows_the_services_that_it_promises() -> None:
    schemes = {url.split(":")[0] for url in URLS}
    assert schemes == {"dingtalk", "wecombot", "feishu", "lark", "slack", "mailto", "mailtos", "jsons"}


@pytest.mark.parametrize("url", URLS)
def test_an_address_of_the_page_with_real_parts_in_it_opens(url: str) -> None:
    real = (
        url.replace("slack://A/B/C/#channel", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops")
        .replace("TOKEN", "f1d2c3b4a596")
        .replace("SECRET", "SECf1d2c3b4a596")
        .replace("KEY", "f1d2c3b4-a596")
    )
    assert channel(real).problem is None


def test_the_channel_of_the_page_is_valid_yaml(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    path = tmp_path / "notices.yaml"
    path.write_text("\n".join(line[3:] for line in block[1].splitlines()), encoding="utf-8")
    (config,) = read_yaml(path, NoticesFile).channels
    assert (config.name, config.min_severity, config.language) == ("dingtalk-on-call", "critical", "zh")


def test_the_try_out_of_the_page_sends_a_message(http: HttpCatcher, tmp_path: Path) -> None:
    code = re.search(r"python - <<'PY'\n(.*?)^PY$", PAGE, re.DOTALL | re.MULTILINE)
    assert code is not None
    (tmp_path / "notices.yaml").write_text("channels: [{name: hook, url_env: HOOK}]", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code[1]],
        env={**os.environ, "TIDEWATCH_CONFIG_DIR": str(tmp_path), "HOOK": http.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "hook sent\n", done.stderr
    assert "试发" in http.received[0]["title"]
