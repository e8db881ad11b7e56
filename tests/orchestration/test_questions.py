"""What counts as the answer of a person, and how long one is waited for."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatch.core.errors import ConfigError
from tidewatch.orchestration import sign_off
from tidewatch.orchestration.sign_off import PromotionOperator, SignOffOperator

OPERATORS = (PromotionOperator, SignOffOperator)
OPTIONS = [o for each in OPERATORS for o in (each.yes, each.no, each.neither)]
USERS = st.none() | st.fixed_dictionaries(
    {"id": st.sampled_from(["", "1"]), "name": st.sampled_from(["", "li.na"])}
)


@given(
    operator=st.sampled_from(OPERATORS),
    chosen=st.none() | st.lists(st.sampled_from([*OPTIONS, "Yes"]), max_size=3),
    user=USERS,
    note=st.none() | st.text(max_size=5),
)
def test_only_the_one_yes_of_a_named_person_is_a_yes(
    operator: type[sign_off.AskOperator],
    chosen: list[str] | None,
    user: dict[str, str] | None,
    note: str | None,
) -> None:
    answer = operator.answer(
        {"chosen_options": chosen, "responded_by_user": user, "params_input": {"note": note}}
    )
    named = bool(user and (user["name"] or user["id"]))
    assert (answer.said == "yes") == (named and chosen == [operator.yes])
    assert (answer.said == "no") == (named and chosen == [operator.no])
    assert (answer.by is not None) == named and answer.note == (note or "")


@pytest.mark.parametrize("operator", OPERATORS)
def test_nothing_at_all_is_no_answer(operator: type[sign_off.AskOperator]) -> None:
    for given_ in (None, {}, {"chosen_options": [operator.yes]}, {"params_input": None}):
        assert operator.answer(given_).said == "nothing"


def test_the_question_about_a_challenger_waits_as_configured_and_its_default_is_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.standard.operators import hitl
    from airflow.sdk.exceptions import TaskAwaitingInput

    monkeypatch.setenv("TIDEWATCH_CONFIG_DIR", str(tmp_path))
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **given_: asked.append(given_))
    operator = PromotionOperator(task_id="approve", subject="s", body="b", params=sign_off.PROMOTION_FORM)
    with pytest.raises(ConfigError):
        operator.execute({"task_instance": SimpleNamespace(id="1")})
    assert asked == [], "without the configuration nobody is asked"
    (tmp_path / "retraining.yaml").write_text("approval: {days: 3}\n")
    with pytest.raises(TaskAwaitingInput) as waits:
        operator.execute({"task_instance": SimpleNamespace(id="1")})
    assert waits.value.timeout == timedelta(days=3)
    assert asked[0]["defaults"] == [sign_off.OPEN] and list(asked[0]["params"]) == ["note"]
    assert "null" in asked[0]["params"]["note"]["schema"]["type"], (
        "else Airflow's page answers with a note only"
    )
    assert asked[0]["options"] == [sign_off.APPROVE, sign_off.REJECT, sign_off.OPEN]
