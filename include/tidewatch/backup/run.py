"""The life of a backup in three steps, as Dags and CLI call them: `stage`, `judge`, `commit`.

Each step takes the lock of the source, may be called again at any time, and goes on where a killed call
ended. The order of statements inside is documented in `stage.py` and `commit.py`.
"""

from tidewatch.backup.commit import commit
from tidewatch.backup.gate import GateVerdict
from tidewatch.backup.judging import judge
from tidewatch.backup.stage import Staged, stage
from tidewatch.backup.verdict import Outcome, outcome_of
from tidewatch.vault.manifest import RunRef

__all__ = ["GateVerdict", "Outcome", "RunRef", "Staged", "commit", "judge", "outcome_of", "stage"]
