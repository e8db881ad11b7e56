"""
**Why.** The model in use is wrong about something that matters, and people act on what it says. One step
brings the former champion back.

**When.** By hand only: *Trigger*, say why, and type the number of the version that is to go.

**Reads.** The registry (`sentiment.models`, `sentiment.champions`).

**Writes.** The champion, in one transaction with a record in the ledger (`model.promoted`, act
`rolled_back`); the asset `sentiment.champion`, which Dags follow that score again.

**Gate.** The version typed into `confirm` is the champion now: a rollback that somebody else has made
already is not made twice. Below it lies a former champion.

**If it fails.** Whoever started it is waiting for it; *nobody else needs to be woken*. The champion is
the one it was. The message says what to do; `tidewatch models rollback` does the same without Airflow.
"""

from airflow.sdk import Param, dag, task
from pendulum import datetime

from tidewatch.orchestration.assets import CHAMPION
from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE

PARAMS = {
    "reason": Param(
        type="string", minLength=1, maxLength=1500, description="Why, in a sentence; the ledger keeps it."
    ),
    "confirm": Param(
        type="integer",
        minimum=1,
        description="The version that is to go: the champion, as `tidewatch models list` shows it.",
    ),
}


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    tags=["sentiment"],
    doc_md=__doc__,
)
def rollback_model() -> None:
    @task(outlets=[CHAMPION])
    def roll_back() -> dict[str, object]:
        from tidewatch.orchestration import retrain_tasks

        return retrain_tasks.roll_back()

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import notice_tasks

        return notice_tasks.deliver()

    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    roll_back() >> tell().as_teardown()


rollback_model()
