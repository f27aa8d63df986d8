"""Who started a process, as its environment says."""

import pytest

from cosmodeep_hpc.parallel.launcher import Launch, launched

JOB = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
STEP = JOB | {"SLURM_STEP_ID": "0", "SLURM_PROCID": "3"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}


@pytest.mark.parametrize(
    "environ, launch",
    [
        ({}, Launch("", 1, 0)),
        (JOB, Launch("", 1, 0)),  # a batch script: Slurm's variables, but no step
        (STEP, Launch("srun", 4, 3)),
        # a step of one task in a job of many, as an interactive shell is
        (STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, Launch("srun", 1, 0)),
        (OPEN_MPI, Launch("mpirun", 2, 1)),
        # mpirun in a Slurm job: the step is that of its daemons
        (STEP | OPEN_MPI, Launch("mpirun", 2, 1)),
        ({"MV2_COMM_WORLD_SIZE": "8", "MV2_COMM_WORLD_RANK": "7"}, Launch("mpirun", 8, 7)),
        ({"PMI_SIZE": "8", "PMI_RANK": "0"}, Launch("mpirun", 8, 0)),
        # no number of tasks: there may be one or many
        ({"PMIX_RANK": "0"}, Launch("a PMIx launcher", None, 0)),
        ({"PMI_RANK": "2"}, Launch("a PMI launcher", None, 2)),
        ({"PALS_RANKID": "2"}, Launch("a PALS launcher", None, 2)),
        ({"ALPS_APP_PE": "2"}, Launch("aprun", None, 2)),
        # srun --mpi=pmix says both
        (STEP | {"PMIX_RANK": "3"}, Launch("srun", 4, 3)),
        # a variable that is there and empty is none
        ({"PMI_SIZE": "", "PMI_RANK": ""}, Launch("", 1, 0)),
    ],
)
def test_who_started_a_process(environ, launch):
    assert launched(environ) == launch
