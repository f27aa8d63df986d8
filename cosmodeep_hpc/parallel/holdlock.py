"""Hold a lock for a shell script, where flock may be missing: `python -m ...holdlock PATH`.

It prints a line: `ours` where it holds the lock on PATH now, or who else does. It ends with its
standard input, and gives the lock back: a killed script holds nobody up.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.locks import holder_of, locked


def main(path: Path) -> int:
    """Hold the lock on `path` until standard input ends; return the exit status."""
    try:
        with locked(path) as mine:
            print("ours" if mine else holder_of(path) or "another process", flush=True)
            sys.stdin.read()
    except InputError as error:
        print(f"cosmodeep: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
