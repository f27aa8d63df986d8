"""`python -m cosmodeep_hpc` is the command `cosmodeep`."""

import os
import sys

if sys.path and sys.path[0] == os.getcwd() and not sys.flags.safe_path:
    del sys.path[0]  # Python put it there: a user's copy.py would stand for Python's own

from cosmodeep_hpc.cli.main import main  # noqa: E402  # after that

if __name__ == "__main__":
    raise SystemExit(main())
