"""A map of a large mosaic: one island as wide as it, in bounded memory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINUTE = 60


@pytest.mark.slow
@pytest.mark.timeout(30 * MINUTE)
def test_a_ring_around_a_mosaic_is_one_island_in_bounded_memory(tmp_path):
    """20,000 x 20,000 pixels on one rank of one core; with mask and maps 3 GB of disk."""
    one_core = {min(os.sched_getaffinity(0))}
    words = ["--folder", str(tmp_path), "--ring", "--model", "robust"]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.large_mosaic", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, one_core),
    )
    assert ran.returncode == 0, ran.stderr
    assert "islands: 1\n" in ran.stdout, ran.stdout
    (most,) = re.findall(r"rank 0: ([\d.]+) GiB at most", ran.stdout)
    assert float(most) < 0.9, ran.stdout
