"""The tasks that wait for a person: Airflow's human-in-the-loop operator with answers of ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param

SIGN = "签署 · Sign"
REFUSE = "拒绝 · Refuse"
LEAVE = "不签署 · Leave unsigned"
APPROVE = "批准 · Approve"
REJECT = "不批准 · Reject"
OPEN = "暂不决定 · Leave undecided"


def form(what: str) -> dict[str, Param]:
    """The one field of a question: a note; `what` says in both languages when it is needed. It may be null:
    Airflow's page lets nobody answer while a field that may not is empty."""
    return {"note": Param("", type=["null", "string"], maxLength=2000, description=what)}


FORM = form("说明 · Note; why, if it is refused.")
PROMOTION_FORM = form("说明 · Note; the ledger keeps it. Why, if it is not approved.")


@dataclass(frozen=True)
class Answer:
    """What a person said. An answer without a name is nobody's: it says `nothing`."""

    said: Literal["yes", "no", "nothing"]
    by: str | None
    note: str


class AskOperator(HITLOperator):
    """Asks for a yes or a no and waits for as long as a file in config/ says, without holding a worker.

    When time runs out the answer is `neither`, from nobody: it is never a yes.
    """

    yes: ClassVar[str]
    no: ClassVar[str]
    neither: ClassVar[str]

    def __init__(self, **more: Any) -> None:
        # What it may take to ask is not limited apart from what it may take to answer.
        super().__init__(
            options=[self.yes, self.no, self.neither],
            defaults=self.neither,
            **more | {"execution_timeout": None},
        )

    def execute(self, context: Context) -> Any:
        """Read how long to wait when the question is asked: a Dag file does not read configuration."""
        self.response_timeout = self.patience()
        return super().execute(context)

    def patience(self) -> timedelta:
        """How long to wait for a person. Raises ConfigError."""
        raise NotImplementedError

    @classmethod
    def answer(cls, given: Mapping[str, Any] | None) -> Answer:
        """What the task's XCom says."""
        given = given or {}
        user = given.get("responded_by_user") or {}
        note = str((given.get("params_input") or {}).get("note") or "")
        name = user.get("name") or user.get("id")
        said: dict[str, Literal["yes", "no"]] = {cls.yes: "yes", cls.no: "no"}
        chosen = list(given.get("chosen_options") or [])
        if not name or len(chosen) != 1 or chosen[0] not in said:
            return Answer("nothing", str(name) if name else None, note)
        return Answer(said[chosen[0]], str(name), note)


class SignOffOperator(AskOperator):
    """Asks for the sign-off of a report of restore tests; waits as config/restore_tests.yaml says."""

    yes, no, neither = SIGN, REFUSE, LEAVE

    def patience(self) -> timedelta:
        """As `sign_off.days`."""
        from tidewatch.core.settings import load_settings
        from tidewatch.restore.targets import load_targets

        return timedelta(days=load_targets(load_settings()).sign_off.days)


class PromotionOperator(AskOperator):
    """Asks whether a challenger becomes the champion; waits as config/retraining.yaml says."""

    yes, no, neither = APPROVE, REJECT, OPEN

    def patience(self) -> timedelta:
        """As `approval.days`."""
        from tidewatch.core.settings import load_settings
        from tidewatch.sentiment.retraining.settings import load_retraining

        return timedelta(days=load_retraining(load_settings().config_dir).approval.days)
