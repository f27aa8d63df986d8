"""`python -m benchmarks.one_image`: what one small image costs, from the command to the products.

    python -m benchmarks.one_image                      # this environment
    python -m benchmarks.one_image --python PYTHON      # another, such as one made by pip install .

Times `cosmodeep classify` on an image of 384 x 384 pixels: the first call on a machine, which
compiles its loops, and later ones, with the picture and without. Seconds are of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.images import write_pair
from cosmodeep_hpc.config.survey import USUAL_PRODUCTS

SIDE = 384
MIB = 1024  # KiB, which Linux gives
WITHOUT = json.dumps([name for name in USUAL_PRODUCTS if name != "picture"])


def used(line: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its processor seconds, and its largest memory [MiB]."""
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, cwd=os.sep)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(line)}: status {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / MIB


def main() -> None:
    """Time all calls."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="the interpreter to run")
    parser.add_argument("--rounds", type=int, default=7, help="later calls, in turn")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pair(folder, 0, SIDE)
        image, out = next(folder.glob("noise-*.fits")), folder / "out"
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
        line = [words.python, "-m", "cosmodeep_hpc", "classify", str(image), "--quiet", "--restart"]
        line += ["--out", str(out)]
        first = used(line, environment)
        print(f"first call on a machine     {first[0]:6.2f} s {first[1]:6.0f} MiB", flush=True)
        kinds: dict[str, list[str]] = {
            "with the picture": [],
            "without": ["--classify.products", WITHOUT],
        }
        times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for _ in range(words.rounds):
            for kind, more in kinds.items():
                times[kind].append(used([*line, *more], environment))
        for kind, taken in times.items():
            seconds, memory = sorted(s for s, _ in taken), max(m for _, m in taken)
            middle = seconds[len(seconds) // 2]
            print(f"later, {kind:20} {middle:6.2f} s {memory:6.0f} MiB  (at best {seconds[0]:.2f})")


if __name__ == "__main__":
    main()
