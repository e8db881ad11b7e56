"""What a task knows of the Dag run it belongs to."""

from airflow.sdk import Context

from tidewatch.vault.manifest import RunRef


def run_of(airflow: Context) -> RunRef:
    """The Dag run, and which attempt of the task this is."""
    return RunRef(dag_id=airflow["dag"].dag_id, run_id=airflow["run_id"], try_number=airflow["ti"].try_number)


def started_by(airflow: Context) -> str | None:
    """Who triggered the run; None: the schedule."""
    name = getattr(airflow["dag_run"], "triggering_user_name", None)
    return str(name) if name else None
