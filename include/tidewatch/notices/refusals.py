"""Some chat services answer HTTP 200 when they refuse a message, and say so in the JSON of the answer.

DingTalk (`errcode`), WeCom (`errcode`), Feishu and Lark (`code`) do that for a wrong keyword, a wrong
signature, a text too long, or too many messages a minute. Apprise looks at the HTTP status only, so a refused
notice would count as sent. Here the answer is read as well, and a refusal becomes the kind of error apprise
reports as a failure.
"""

import importlib
from typing import Any

import requests

_CODE_AND_TEXT = {
    "dingtalk": ("errcode", "errmsg"),
    "wecombot": ("errcode", "errmsg"),
    "feishu": ("code", "msg"),
    "lark": ("code", "msg"),
}


class _AnswerReader:
    """Stands where a plugin module names `requests`: the same library, except that `post` reads the
    answer.
    """

    def __init__(self, code: str, text: str) -> None:
        self._code = code
        self._text = text

    def __getattr__(self, name: str) -> Any:
        return getattr(requests, name)

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = requests.post(*args, **kwargs)  # noqa: S113 - the plugins pass their timeout
        if response.ok:
            try:
                answer = response.json()
            except requests.JSONDecodeError:
                return response
            code = answer.get(self._code, 0) if isinstance(answer, dict) else 0
            if code not in {0, "0", None}:
                raise requests.RequestException(f"refused with code {code}: {answer.get(self._text, '')}")
        return response


def read_answers(schema: str) -> None:
    """Make the apprise plugin of `schema` fail when the service says that it refused. Once is enough."""
    if schema not in _CODE_AND_TEXT:
        return
    plugin: Any = importlib.import_module(f"apprise.plugins.{schema}")
    if not isinstance(plugin.requests, _AnswerReader):
        plugin.requests = _AnswerReader(*_CODE_AND_TEXT[schema])
