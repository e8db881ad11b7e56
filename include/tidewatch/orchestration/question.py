"""The question whether a challenger becomes the champion, as Airflow shows it: Markdown of numbers alone."""

from collections.abc import Iterator, Mapping
from typing import Any

_SHOWN = 5
"""Warnings; the page has all."""
_SMALLEST = 0.001


def question(facts: Mapping[str, Any], page: str) -> str:
    """`facts` as `tidewatch.sentiment.retraining.run.summary` gives them; `page`: address of the console's
    page, where posts can be seen on which the two differ."""
    return "\n".join(_lines(facts, page))


def _lines(facts: Mapping[str, Any], page: str) -> Iterator[str]:
    champion, sets = facts["champion"], facts["sets"]
    yield f"**候选模型 · Challenger**: version {facts['challenger']}. " + (
        f"**当前模型 · Champion**: version {champion}."
        if champion
        else "目前没有模型 · There is no champion yet."
    )
    yield ""
    yield "| 测试集 · set | n | 候选 · challenger % | 当前 · champion % | 差 · difference (95 %) | p |"
    yield "|---|---|---|---|---|---|"
    for one in sets:
        before = _share(one["champion"]["accuracy"]) if one["champion"] else "-"
        yield (
            f"| {_cell(one['set'])} | {one['n']} | {_share(one['challenger']['accuracy'])} | {before} "
            f"| {_difference(one)} |"
        )
    yield ""
    for one in sets:
        if one["kind"] == "frozen":
            yield from _overall(one["challenger"])
    speed = facts["speed"] or {}
    if "posts_per_second" in speed:
        yield f"- 速度 · Speed: {speed['posts_per_second']:,.0f} posts/s"
    warnings = [w for gate in facts["gates"].values() for w in gate["warnings"]]
    yield f"- 警告 · Warnings: {len(warnings) or 'none'}"
    yield from (f"  - {_cell(w)}" for w in warnings[:_SHOWN])
    yield ""
    yield f"两者不同的帖子 · Posts on which the two differ: [console]({page})"
    yield ""
    yield f"`tidewatch models retrainings {facts['run_id']}`"


def _overall(own: Mapping[str, Any]) -> Iterator[str]:
    recall = ", ".join(
        f"{label} {_share(of)} (n {of['n']})" if of else f"{label}: none"
        for label, of in own["recall"].items()
    )
    yield f"- 召回率 · Recall % on the frozen set: {recall}"
    if own["without_emoticons"]:
        yield f"- 去掉表情 · Emoticons removed: {_share(own['without_emoticons'])} %"
    yield f"- 校准误差 · Calibration error (ECE): {own['ece']:.3f}"


def _difference(one: Mapping[str, Any]) -> str:
    if one.get("difference") is None:
        return "- | -"
    low, high = one["low"], one["high"]
    return f"{100 * one['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) | {_luck(one['p_value'])}"


def _luck(p_value: float) -> str:
    """McNemar's p: how likely luck alone would differ as much."""
    return f"{p_value:.3f}" if p_value >= _SMALLEST else f"below {_SMALLEST}"


def _share(share: Mapping[str, Any]) -> str:
    """Per cent with the 95 % interval."""
    return f"{100 * share['value']:.1f} ({100 * share['low']:.1f} to {100 * share['high']:.1f})"


def _cell(text: object) -> str:
    """Names of platforms come from files: nothing in them is markup, or the end of a cell."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#+!|~&" else c for c in " ".join(str(text).split()))
