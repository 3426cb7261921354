"""`python -m rolecore`: the same command as `rolecore`."""

from __future__ import annotations

import sys

from rolecore.cli import main

if __name__ == "__main__":
    sys.exit(main())
