"""Who started this process (mpirun, srun or nobody), how many tasks there are, and which is this.

Only the environment is read, so that a process knows without MPI whether it needs MPI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Variables:
    """The variables that a launcher sets for its tasks.

    Attributes:
        program: the launcher, as a user calls it.
        tasks: the variable with the number of tasks; empty if the launcher sets none.
        task: the variable with this task's number.
        needs: a variable that must be set too for the others to belong to a launched task.
    """

    program: str
    tasks: str
    task: str
    needs: str = ""


LAUNCHERS = (
    # mpirun is asked before Slurm, since it runs inside Slurm's jobs too
    Variables("mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),  # Open MPI, jsrun
    Variables("mpirun", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),  # MVAPICH2
    # a batch script has Slurm's variables as well, but only a step that srun started has an ID
    Variables("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", needs="SLURM_STEP_ID"),
    Variables("srun", "SLURM_NTASKS", "SLURM_PROCID", needs="SLURM_STEP_ID"),  # an older Slurm
    Variables("mpirun", "PMI_SIZE", "PMI_RANK"),  # MPICH, Intel MPI, flux run
    # launchers that do not say how many tasks they started, known by the interface MPI uses
    Variables("a PMIx launcher", "", "PMIX_RANK"),
    Variables("a PMI launcher", "", "PMI_RANK"),
    Variables("a PALS launcher", "", "PALS_RANKID"),  # mpiexec and aprun of HPE Cray EX
    Variables("aprun", "", "ALPS_APP_PE"),  # Cray's before
)


@dataclass(frozen=True)
class Launch:
    """How this process was started.

    Attributes:
        program: the launcher, as a user calls it; empty for none.
        tasks: the number of tasks that it started; None if unknown.
        task: this task's number.
    """

    program: str = ""
    tasks: int | None = 1
    task: int = 0


def launched(environ: Mapping[str, str]) -> Launch:
    """Return how the process with these environment variables was started."""
    for names in LAUNCHERS:
        if names.needs and names.needs not in environ:
            continue
        task = environ.get(names.task, "")
        if not task.isdecimal():
            continue
        if not names.tasks:
            return Launch(names.program, None, int(task))
        tasks = environ.get(names.tasks, "")
        if tasks.isdecimal():
            return Launch(names.program, int(tasks), int(task))
    return Launch()
