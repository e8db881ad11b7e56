"""`python -m tidewatch.cli`."""

import sys

from tidewatch.cli.app import main

sys.exit(main())
