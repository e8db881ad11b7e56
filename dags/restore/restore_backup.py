"""
**Why.** Somebody needs something back: a whole source, one table, some files. Here it is done with the
same checks and the same record as on the command line, by whoever may run Dags.

**When.** By hand only: *Trigger*, fill in the form. `dry_run` is on until you switch it off; look at
the log of `plan` first.

**Reads.** The regions: manifests, objects. The private key that `TIDEWATCH_IDENTITY_FILE` names, which
must lie where this task runs. `config/restore.yaml`.

**Writes.** The target, which is new or empty, unless `config/restore.yaml` lists it under `overwrite`:
then what is there is kept under another name. The work directory while it runs. The ledger
(`restore.done`).

**Gate.** Before anything is fetched: the target is on the allow-list, its name was typed into
`confirm` unless it is scratch, the key opens the backup, extensions and version of the target fit, the
disks have room. Every object is checked against the signed manifest before it is used.

**If it fails.** Whoever started it is waiting for it; *nobody else needs to be woken*. The target is as
it was. The message says what to do; clear the task to go on, what was fetched is kept.
"""

from airflow.sdk import Param, dag, task
from pendulum import datetime

from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE

TEXT, TEXTS = ["null", "string"], {"type": "array", "items": {"type": "string"}}
PARAMS = {
    "source": Param(type="string", minLength=1, description="A source of config/sources.yaml, as `ops`."),
    "to": Param(
        type="string",
        pattern="^(database|directory|bucket):.+",
        description="`database:CONNECTION/NAME`, `directory:PATH` or `bucket:CONNECTION/BUCKET/PREFIX`.",
    ),
    "backup": Param(None, type=TEXT, description="This backup; empty: the newest good one."),
    "at": Param(
        None,
        type=TEXT,
        format="date-time",
        description="The newest good backup whose snapshot is not later than this.",
    ),
    "region": Param(None, type=TEXT, description="Only from here; empty: the first that works."),
    "tables": Param([], **TEXTS, description="Only these, `schema.table`, one a line."),
    "paths": Param([], **TEXTS, description="Only these files, or what is below them, one a line."),
    "confirm": Param(None, type=TEXT, description="The target's name, where it is not scratch."),
    "dry_run": Param(True, type="boolean", description="Check and show everything, do nothing."),
}


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    tags=["restore"],
    doc_md=__doc__,
)
def restore_backup() -> None:
    @task
    def plan() -> dict[str, object]:
        from tidewatch.orchestration import restore_tasks

        return restore_tasks.plan()

    @task
    def restore() -> dict[str, object]:
        from tidewatch.orchestration import restore_tasks

        return restore_tasks.restore()

    plan() >> restore()


restore_backup()
