"""Slurm, munge and what a node's namespaces need, as they are installed on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "unshare", "setpriv")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "munge")
MPICH = "libmpich12"  # the other family of MPI: the tests that need it say so where it is missing


def missing() -> str:
    """Why no cluster can be started here; empty where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a Slurm cluster on one machine needs Linux and root"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    tried = subprocess.run([*namespaces(), "hostname", "node1"], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"no namespaces of its own for a node: {tried.stderr.strip()}"
    return ""


def install() -> str:
    """Install Slurm and munge by apt where they are missing; why not, or empty."""
    if all(shutil.which(name) for name in PROGRAMS):
        return ""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return "Slurm is not installed, and only root on Debian can have it installed"
    print(f"\ninstalling {' '.join(PACKAGES)} by apt-get, once: about 20 s", flush=True)
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    get = [*apt, "--no-install-recommends", "install", *PACKAGES]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (get, [*apt, "update"], get):  # at first with the lists that are there
        try:
            done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=240)
        except subprocess.TimeoutExpired:
            return f"{' '.join(command)}: no end after 240 s"
        if command is get and done.returncode == 0:
            subprocess.run([*get[: -len(PACKAGES)], MPICH], env=quiet, capture_output=True)
            return ""
    return f"{' '.join(get)}: {' '.join(done.stderr.splitlines()[-1:])}"


def namespaces() -> list[str]:
    """The words before a command that gives it namespaces which end with this process."""
    unshare = ("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    return ["setpriv", "--pdeathsig", "KILL", *unshare]
