"""Starting the shipped batch scripts as a user would: by sbatch on a real Slurm, by bash alone."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = PROJECT / "slurm"
FOUR_RANKS = ("--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1")
ONE_RANK = ("--nodes=1", "--ntasks-per-node=1", "--cpus-per-task=1")
ENDS = 200  # seconds after which a job hangs; on two idle cores none takes 60


def submit(cluster, folder, *words, options=FOUR_RANKS, submit_from=None, **environment):
    """The number and the log of `sbatch OPTIONS slurm/SCRIPT ARGUMENTS`, from `folder`."""
    script, *arguments = words
    log = folder / f"{Path(script).stem}.log"
    home = {"COSMODEEP_HOME": str(PROJECT), "COSMODEEP_PYTHON": sys.executable}
    job = cluster.submit(
        [*options, SCRIPTS / script, *arguments],
        log=log,
        folder=submit_from or folder,
        environment=home | environment,
    )
    return job, log


def sbatch(cluster, folder, *words, timeout=ENDS, **how):
    """The end of a job submitted likewise, with its log."""
    job, log = submit(cluster, folder, *words, **how)
    return cluster.wait(job, log=log, timeout=timeout)


def bash(folder, *words, **environment):
    """The end of `bash slurm/SCRIPT ARGUMENTS` outside of Slurm, in `folder`."""
    script, *arguments = words
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "OMPI_", "OMP_", "RANKS", "COSMODEEP_", "CONTAINER"))
    }
    return subprocess.run(
        ["bash", str(SCRIPTS / script), *map(str, arguments)],
        env=clean | {"COSMODEEP_PYTHON": sys.executable} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=ENDS,
    )


def program(path, text):
    """A program made for a test."""
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


def slow(folder, seconds):
    """An interpreter that waits at each step of its first start, and says where it is."""
    slowly = Path(__file__).with_name("slow.py")
    words = f'STEP_SECONDS={seconds} exec {sys.executable} {slowly} "${{@:3}}"'
    return {"COSMODEEP_PYTHON": str(program(folder / "slow", words))}
