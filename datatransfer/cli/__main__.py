"""``python -m datatransfer.cli``."""

from __future__ import annotations

import sys

from datatransfer.cli import main

sys.exit(main())
