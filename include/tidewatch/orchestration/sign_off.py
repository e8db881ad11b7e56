"""The task that waits for a person: Airflow's human-in-the-loop operator with answers of ours."""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param

SIGN = "签署 · Sign"
REFUSE = "拒绝 · Refuse"
LEAVE = "不签署 · Leave unsigned"
FORM = {"note": Param("", type="string", maxLength=2000, description="说明 · Note; why, if it is refused.")}


class SignOffOperator(HITLOperator):
    """Asks for a sign-off and waits as long as config/restore_tests.yaml says, without holding a worker.

    When time runs out the answer is `LEAVE`, from nobody: it is never a yes.
    """

    def __init__(self, **more: Any) -> None:
        # What it may take to ask is not limited apart from what it may take to answer.
        super().__init__(options=[SIGN, REFUSE, LEAVE], defaults=LEAVE, **more | {"execution_timeout": None})

    def execute(self, context: Context) -> Any:
        """Read how long to wait when the question is asked: a Dag file does not read configuration."""
        from tidewatch.core.settings import load_settings
        from tidewatch.restore.targets import load_targets

        self.response_timeout = timedelta(days=load_targets(load_settings()).sign_off.days)
        return super().execute(context)
