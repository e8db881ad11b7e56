"""What the tests of retraining share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from retrain_rig import answering, asked, labelled, runner

__all__ = ["answering", "asked", "labelled", "runner"]
