"""What the tests of restoring share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "backup"))  # for runs of this directory alone

from drill_rig import shop

__all__ = ["shop"]
