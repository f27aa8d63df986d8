"""slurm/table2.sh trains and judges each rule and seed once, whoever starts it and how often.

The stages are played by a script that writes down what it is asked for.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import until

SCRIPT = Path(__file__).parents[2] / "slurm" / "table2.sh"
PLAYED = """#!/bin/bash
# COMMAND -m cosmodeep_hpc STAGE WORD...: what the stage is known by, and its file
[ "$2" = cosmodeep_hpc ] || exec "$PYTHON" "$@" # the lock is a real one
shift 2
echo "$*" >>"$LOG"
sleep "${SLOW:-0}"
out=''
for word in "$@"; do
    [ "$before" != --out ] || out=$word
    before=$word
done
[[ $* != *"${FAIL:-nothing}"* ]] || exit 2
mkdir -p "$out"
case $1 in
train) touch "$out/model.keras" ;;
evaluate) touch "$out/metrics.json" ;;
esac
"""
RULES = [(n, f) for f in ("1e-7", "7.5e-8", "5e-8", "1e-8") for n in (40, 9)]


@pytest.fixture
def table2(tmp_path):
    played = tmp_path / "python"
    played.write_text(PLAYED)
    played.chmod(0o755)
    log = tmp_path / "asked"

    def start(**environment):
        words = ["--config", "a b.toml", "--tiles", "t", "--images", "i", "--out", "o ut"]
        known = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "COSMODEEP"))}
        own = {"COSMODEEP_PYTHON": str(played), "LOG": str(log), "RANKS": "1"}
        own |= {"PYTHON": sys.executable, **environment}
        return subprocess.Popen(
            ["bash", SCRIPT, *words], cwd=tmp_path, env={**known, **own}, start_new_session=True
        )

    def asked():
        return log.read_text().splitlines() if log.exists() else []

    start.asked = asked
    return start


def test_each_rule_and_seed_is_trained_and_judged(table2, tmp_path):
    assert table2().wait(60) == 0
    expected = []
    for seed in (1, 2, 3):  # all rules of a seed, then those of the next
        for n_pix, f_th in RULES:
            folder = f"o ut/npix-{n_pix}-fth-{f_th}-seed-{seed}"
            expected += [
                f"train --config a b.toml --tiles t --out {folder}/run --label.n_pix {n_pix} "
                f"--label.f_th {f_th} --train.seed {seed}",
                f"evaluate --config a b.toml --model {folder}/run --images i "
                f"--out {folder}/accuracy",
            ]
    assert table2.asked() == expected
    assert len(list(tmp_path.glob("o ut/*/accuracy/metrics.json"))) == 24
    assert table2().wait(60) == 0
    assert len(table2.asked()) == 48  # nothing is done again


def test_a_failure_does_not_stop_the_others_and_is_told(table2, tmp_path):
    assert table2(FAIL="--label.n_pix 9 --label.f_th 5e-8 --train.seed 2").wait(60) == 2
    assert len(list(tmp_path.glob("o ut/*/accuracy/metrics.json"))) == 23
    assert table2().wait(60) == 0
    assert len(table2.asked()) == 47 + 2  # the failed one alone is trained again


def test_two_starts_share_the_work(table2):
    both = [table2(SLOW="0.02"), table2(SLOW="0.02")]
    assert [one.wait(60) for one in both] == [0, 0]
    assert sorted(table2.asked()) == sorted(set(table2.asked())) and len(table2.asked()) == 48


def test_a_task_of_an_array_does_its_own(table2):
    assert table2(SLURM_ARRAY_TASK_ID="10").wait(60) == 0
    assert [line.split("--out ")[1].split("/")[1] for line in table2.asked()] == [
        "npix-40-fth-7.5e-8-seed-2"
    ] * 2
    assert table2(SLURM_ARRAY_TASK_ID="24").wait(60) == 2


def test_a_killed_start_holds_nobody_up(table2):
    first = table2(SLOW="60")
    until(table2.asked)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert table2().wait(60) == 0
    assert len(table2.asked()) == 49


def test_bad_usage(tmp_path):
    done = subprocess.run(["bash", SCRIPT, "--tiles", "t"], capture_output=True, text=True)
    assert done.returncode == 2 and "expected --tiles DIR --images DIR --out DIR" in done.stderr
