"""
**Why.** Language drifts: a model that is not trained again loses points every few weeks. Here people's
corrections become the next version, and none that is worse comes into use: gates stand in front, and a
person decides.

**When.** The third day of each month at 09:00 Asia/Shanghai. By hand at any time: *Trigger*. One run at
a time: the next waits, also while a person is asked.

**Reads.** Labels and texts (schema `sentiment`); the champion; `config/retraining.yaml`,
`config/labels.yaml`.

**Writes.** A data version, held-out posts, the challenger as a new version, how it did
(`sentiment.retrainings` and its tables); gate results; the ledger; notices. After a person's yes the
champion, and with it the asset `sentiment.champion`.

**Gate.** `config/gates/training_data.yaml` before training: no near-duplicate on both sides, balance,
labels of each class and platform, agreement, drift. `config/gates/model.yaml` after it: floors of
recall and precision, calibration, speed, nowhere worse than the champion beyond a margin. Then a person:
no answer is a no.

**If it fails.** *Nobody needs to be woken*: the champion stays and goes on scoring. A run whose `train`
is skipped has not enough labels: `tidewatch models retrainings RUN` says how many are missing. A red
gate says what did not hold; label or correct the data and trigger a new run. Any other red task can be
cleared: the run goes on where it was. What nobody answered in time can still be approved
(`tidewatch models approve RUN`); then clear `promote`, so that Dags that follow the champion hear of it.
"""

from airflow.sdk import CronDataIntervalTimetable, dag, task
from pendulum import datetime

from tidewatch.orchestration.assets import CHAMPION
from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE
from tidewatch.orchestration.sign_off import PROMOTION_FORM, PromotionOperator

SUBJECT = "新模型待批准 · Approve version {{ ti.xcom_pull(task_ids='gate_model').challenger }} of the model"
BODY = "{{ ti.xcom_pull(task_ids='gate_model').question }}"


@dag(
    schedule=CronDataIntervalTimetable("0 9 3 * *", timezone=TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["sentiment"],
    doc_md=__doc__,
)
def retrain_model() -> None:
    @task
    def freeze() -> dict[str, object]:
        from tidewatch.orchestration import retrain_tasks

        return retrain_tasks.freeze()

    @task
    def gate_data() -> dict[str, object]:
        from tidewatch.orchestration import retrain_tasks

        return retrain_tasks.gate_data()

    @task
    def train(judged: dict[str, object]) -> dict[str, object]:
        from tidewatch.orchestration import retrain_tasks

        return retrain_tasks.train(judged)

    @task
    def measure() -> dict[str, object]:
        from tidewatch.orchestration import retrain_tasks

        return retrain_tasks.measure()

    @task
    def gate_model() -> dict[str, object]:
        from tidewatch.orchestration import retrain_tasks

        return retrain_tasks.gate_model()

    @task(outlets=[CHAMPION])
    def promote(answer: dict[str, object]) -> dict[str, object]:
        from tidewatch.orchestration import retrain_tasks

        return retrain_tasks.promote(answer)

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import retrain_tasks

        return retrain_tasks.tell()

    judged = gate_data()
    approve = PromotionOperator(task_id="approve", subject=SUBJECT, body=BODY, params=PROMOTION_FORM)
    freeze() >> judged
    train(judged) >> measure() >> gate_model() >> approve
    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    promote(approve.output) >> tell().as_teardown()


retrain_model()
