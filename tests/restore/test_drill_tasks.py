"""The tasks of test_restores, called as Airflow calls them."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drill_rig import Shop

from tidewatch.core.errors import GateFailed
from tidewatch.evidence.findings import open_findings
from tidewatch.restore.checks import Check
from tidewatch.restore.recording import RestoreTestFailed
from tidewatch.restore.signoff import SignOff, SignOffRefused, signoff_of
from tidewatch.restore.trial import Trial

drill_tasks = pytest.importorskip("tidewatch.orchestration.drill_tasks")
sign_off = pytest.importorskip("tidewatch.orchestration.sign_off")

LI_NA = {"id": "2", "name": "li.na"}
WANG_WEI = {"id": "1", "name": "Wang.Wei"}


class Run:
    """One Dag run that wang.wei started by hand for `pictures` from two regions."""

    def __init__(self, shop: Shop, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop, self.run_id = shop, run_id
        self.delivered = 0
        self.wrong: dict[str, Check] = {}
        self.context = {
            "dag": SimpleNamespace(dag_id="test_restores"),
            "run_id": run_id,
            "ti": SimpleNamespace(try_number=1, max_tries=3),
            "dag_run": SimpleNamespace(run_type="manual", triggering_user_name="wang.wei"),
            "params": {"sources": ["pictures"], "regions": ["cn-east", "cn-south"], "older": None},
        }
        monkeypatch.setattr(drill_tasks, "get_current_context", lambda: self.context)
        monkeypatch.setattr(drill_tasks, "_context", lambda: shop.ctx)
        monkeypatch.setattr(drill_tasks, "load_targets", lambda _: shop.targets)
        monkeypatch.setattr(drill_tasks.notice_tasks, "deliver", self._deliver)
        monkeypatch.setattr("tidewatch.restore.drill.restore_and_check", self._restored)

    def _deliver(self) -> dict[str, int]:
        self.delivered += 1
        raise OSError("no network: it must not hide why the task failed")

    def _restored(self, ctx: Any, planned: Any, *_: object) -> Trial:
        check = self.wrong.get(planned.region, Check("paths", True, "4 paths", "4 paths"))
        return Trial("0" * 64, self.shop.rig.clock(), {"load": 1.0}, [check], [], 1.0)

    def test_all(self) -> None:
        for planned in drill_tasks.plan():
            drill_tasks.test(planned)

    def answered(self, option: str | None, user: Mapping[str, str] | None, note: str = "") -> Any:
        made = drill_tasks.make_report()
        answer = {
            "chosen_options": [option or sign_off.LEAVE],
            "params_input": {"note": note},
            "responded_by_user": user,
        }
        return drill_tasks.record(made, answer)

    @property
    def given(self) -> SignOff | None:
        with self.shop.ctx.connect() as conn:
            return signoff_of(conn, self.run_id)


@pytest.fixture
def dag_run(shop: Shop, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Run:
    return Run(shop, request.node.name, monkeypatch)


def test_a_run_is_planned_made_judged_reported_and_signed_by_another(dag_run: Run) -> None:
    planned = drill_tasks.plan()
    assert [(p["source"], p["region"], p["choice"]) for p in planned] == [
        ("pictures", "cn-east", "latest"),
        ("pictures", "cn-south", "latest"),
    ]
    assert drill_tasks.test(planned[0])["status"] == "passed"
    assert dag_run.context["test"] == "pictures from cn-east, latest"
    with pytest.raises(GateFailed, match=r"coverage\.tested"):
        drill_tasks.gate()
    dag_run.test_all()
    drill_tasks.gate()
    assert dag_run.answered(sign_off.SIGN, LI_NA, "read it")["decision"] == "signed"
    given = dag_run.given
    assert given is not None
    assert (given.signed_by, given.note, given.via) == ("li.na", "read it", "airflow")
    assert dag_run.answered(sign_off.SIGN, LI_NA, "read it")["ledger_seq"] == given.ledger_seq, "cleared"


def test_a_failed_test_is_red_and_told_before_its_task_ends_and_a_signature_does_not_make_it_green(
    dag_run: Run,
) -> None:
    dag_run.wrong["cn-south"] = Check("paths", False, "a file", "no such path", "2026/b.bin", 1)
    first, second = drill_tasks.plan()
    drill_tasks.test(first)
    assert dag_run.delivered == 0
    with pytest.raises(RestoreTestFailed, match=r"2026/b\.bin"):
        drill_tasks.test(second)
    assert dag_run.delivered == 1
    with pytest.raises(GateFailed):
        drill_tasks.gate()
    with pytest.raises(GateFailed, match="1 of 2 attempts did not pass; it is signed"):
        dag_run.answered(sign_off.SIGN, LI_NA)
    dag_run.wrong.clear()
    drill_tasks.test(second)
    with dag_run.shop.ctx.connect() as conn:
        assert open_findings(conn) == []


def test_who_started_the_run_may_not_sign_it_and_it_stays_unsigned(dag_run: Run) -> None:
    dag_run.test_all()
    drill_tasks.gate()
    with pytest.raises(SignOffRefused, match="started run"):
        dag_run.answered(sign_off.SIGN, WANG_WEI)
    given = dag_run.given
    assert given is not None and (given.decision, given.signed_by) == ("unsigned", None)
    assert "Wang.Wei could not sign" in given.note


@pytest.mark.parametrize(
    ("option", "user", "decision", "via"),
    [
        (None, None, "unsigned", "timeout"),
        ("sign", None, "unsigned", "timeout"),  # an answer without a person is nobody's
        (None, LI_NA, "unsigned", "airflow"),
        ("refuse", LI_NA, "refused", "airflow"),
    ],
)
def test_whatever_is_not_a_person_s_yes_ends_red(
    dag_run: Run, option: str | None, user: dict[str, str] | None, decision: str, via: str
) -> None:
    dag_run.test_all()
    drill_tasks.gate()
    chosen = {"sign": sign_off.SIGN, "refuse": sign_off.REFUSE, None: None}[option]
    with pytest.raises(GateFailed, match=f"it is {decision}"):
        dag_run.answered(chosen, user)
    given = dag_run.given
    assert given is not None and (given.decision, given.via) == (decision, via)


def test_the_question_waits_as_long_as_the_configuration_says_and_its_default_is_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.standard.operators import hitl
    from airflow.sdk.exceptions import TaskAwaitingInput

    (tmp_path / "restore_tests.yaml").write_text(
        "default: {rto_seconds: 1, rpo_seconds: 1}\nsign_off: {days: 0.5}\n"
    )
    monkeypatch.setenv("TIDEWATCH_CONFIG_DIR", str(tmp_path))
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **given: asked.append(given))
    operator = sign_off.SignOffOperator(task_id="sign_off", subject="s", body="b", params=sign_off.FORM)
    with pytest.raises(TaskAwaitingInput) as waits:
        operator.execute({"task_instance": SimpleNamespace(id="1")})
    assert waits.value.timeout == timedelta(hours=12)
    assert asked[0]["defaults"] == [sign_off.LEAVE] and sign_off.SIGN not in asked[0]["defaults"]
    assert "note" in asked[0]["params"]
