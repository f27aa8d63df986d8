"""Each fault the doctor knows, on made-up facts; and two real runs."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from support.launch import environment, unlaunched

from cosmodeep_hpc.doctor.checks import examine, table
from cosmodeep_hpc.doctor.probe import (
    Environment,
    Hdf5,
    Horovod,
    Loops,
    Mpi,
    Rank,
    TensorFlow,
    amd_gpus,
    nvidia_gpus,
    visible_gpus,
)

A, B = "H100 (GPU-aaaa)", "H100 (GPU-bbbb)"
HEALTHY = Environment(
    environ={},
    is_root=False,
    ranks=(Rank(rank=0, host="node1", local_rank=0), Rank(rank=1, host="node1", local_rank=1)),
    mpi=Mpi(
        version="Open MPI 4.1.4", thread_level="MULTIPLE", libraries=("/usr/lib/libmpi.so.40",)
    ),
    horovod=Horovod(version="0.28.1", mpi=True, gloo=True),
    tensorflow=TensorFlow(version="2.21.0", onednn=True),
    hdf5=Hdf5(version="3.14.0", built="1.14.6", loaded="1.14.6"),
    loops=Loops(version="0.66.0", folder="/home/me/cosmodeep_hpc/tiles/__pycache__"),
)
GPU_NODE = replace(
    HEALTHY,
    ranks=(
        Rank(rank=0, host="node1", local_rank=0, gpus=(A, B)),
        Rank(rank=1, host="node1", local_rank=1, gpus=(A, B)),
    ),
    horovod=replace(HEALTHY.horovod, nccl=True),
    tensorflow=replace(HEALTHY.tensorflow, gpu=True),
)
ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
SRUN = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0"}
TWO = SRUN | {"SLURM_STEP_NUM_TASKS": "2"}
IMAGE = {"APPTAINER_CONTAINER": "/images/cosmodeep.sif"}
ALONE = HEALTHY.ranks[:1]


def faults(facts):
    return [finding for finding in examine(facts) if finding.level == "fault"]


@pytest.mark.parametrize(
    "facts",
    [
        HEALTHY,
        GPU_NODE,
        replace(HEALTHY, is_root=True, environ=ROOT),
        replace(HEALTHY, is_root=True, environ=SRUN | {"SLURM_NTASKS": "2"}),  # srun allows root
        replace(HEALTHY, is_root=True, mpi=replace(HEALTHY.mpi, version="MPICH 4.2.1")),
        replace(HEALTHY, environ=SRUN | {"SLURM_NTASKS": "2"}),
        replace(HEALTHY, ranks=ALONE, environ=SRUN | {"SLURM_NTASKS": "1"}),
        # a batch script of a large job, outside any step: a world of one is right
        replace(HEALTHY, ranks=ALONE, environ={"SLURM_NTASKS": "64", "SLURM_PROCID": "0"}),
        # an interactive step of one task within a job of many
        replace(
            HEALTHY,
            ranks=ALONE,
            environ=SRUN | {"SLURM_NTASKS": "64", "SLURM_STEP_NUM_TASKS": "1"},
        ),
        # mpirun over two nodes of a job: Slurm's step holds mpirun's two daemons
        replace(
            HEALTHY,
            environ=SRUN
            | {
                "SLURM_STEP_NUM_TASKS": "2",
                "OMPI_COMM_WORLD_SIZE": "2",
                "OMPI_COMM_WORLD_RANK": "0",
            },
        ),
        # --gpus-per-task: every rank sees its own alone
        replace(
            GPU_NODE,
            ranks=tuple(replace(r, gpus=(g,)) for r, g in zip(GPU_NODE.ranks, (A, B), strict=True)),
        ),
    ],
)
def test_a_healthy_installation_has_no_fault(facts):
    assert faults(facts) == []


@pytest.mark.parametrize(
    "facts, subject, found, advice",
    [
        (
            replace(HEALTHY, ranks=ALONE, environ=SRUN | {"SLURM_STEP_NUM_TASKS": "4"}),
            "launch",
            "srun started 4 tasks, but each is an MPI world of 1",
            "srun --mpi=pmix",
        ),
        (
            replace(HEALTHY, ranks=ALONE, environ=SRUN | {"SLURM_NTASKS": "3"}),
            "launch",
            "srun started 3 tasks",
            "mpirun",
        ),
        (
            replace(
                HEALTHY,
                ranks=ALONE,
                environ=SRUN | {"SLURM_NTASKS": "3"},
                slurm_mpi=("none", "pmi2", "pmix_v4"),
            ),
            "launch",
            "srun started 3 tasks",
            "offered here: none, pmi2, pmix_v4",
        ),
        (
            replace(
                HEALTHY,
                ranks=ALONE,
                environ={"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},
            ),
            "launch",
            "mpirun started 2 tasks",
            "first in PATH",
        ),
        (  # srun --mpi=none
            replace(HEALTHY, ranks=ALONE, environ=TWO),
            "launch",
            "srun started 2 tasks, but each is an MPI world of 1",
            "srun and MPI speak different PMI: try srun --mpi=pmix",
        ),
        (  # srun --mpi=pmi2 with Open MPI, seen so on Slurm 22.05
            replace(HEALTHY, ranks=ALONE, environ=TWO | {"PMI_FD": "12", "PMI_RANK": "0"}),
            "launch",
            "each is an MPI world of 1, though they were offered PMI-2",
            "try srun --mpi=pmix",
        ),
        (  # srun --mpi=pmix with MPICH
            replace(
                HEALTHY,
                ranks=ALONE,
                mpi=replace(HEALTHY.mpi, version="MPICH 4.0.2"),
                environ=TWO | {"PMIX_RANK": "0"},
            ),
            "launch",
            "though they were offered PMIx",
            "MPICH 4.0.2 speaks PMI-2: try srun --mpi=pmi2",
        ),
        (  # Open MPI in an image, with a PMIx that cannot reach the host's
            replace(HEALTHY, ranks=ALONE, environ=TWO | IMAGE | {"PMIX_RANK": "0"}),
            "launch",
            "though they were offered PMIx",
            "Open MPI 4.1.4 in the image and Slurm speak different PMIx: export PMIX_MCA_gds=hash",
        ),
        (  # Open MPI's mpirun outside, MPICH in the image
            replace(
                HEALTHY,
                ranks=ALONE,
                mpi=replace(HEALTHY.mpi, version="MPICH 4.0.2"),
                environ=IMAGE | {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"},
            ),
            "launch",
            "mpirun started 2 tasks, but each is an MPI world of 1",
            "mpirun outside is another MPI's than MPICH 4.0.2 in the image",
        ),
        (
            replace(HEALTHY, ranks=ALONE, environ={"PMI_SIZE": "8", "PMI_RANK": "0"}),
            "launch",
            "mpirun started 8 tasks",
            "first in PATH",
        ),
        (replace(HEALTHY, is_root=True), "root", "refuses", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"),
        (
            replace(HEALTHY, is_root=True, environ={"OMPI_ALLOW_RUN_AS_ROOT": "1"}),
            "root",
            "refuses",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
        ),
        (
            replace(HEALTHY, mpi=Mpi(error="RuntimeError: cannot load MPI library")),
            "MPI",
            "cannot load MPI library",
            "module",
        ),
        (
            replace(HEALTHY, mpi=replace(HEALTHY.mpi, thread_level="SERIALIZED")),
            "MPI threads",
            "SERIALIZED",
            "thread support",
        ),
        (
            replace(
                HEALTHY, mpi=replace(HEALTHY.mpi, libraries=("/a/libmpi.so.40", "/b/libmpi.so.12"))
            ),
            "MPI libraries",
            "/a/libmpi.so.40, /b/libmpi.so.12",
            "mpicc",
        ),
        (
            replace(GPU_NODE, horovod=replace(GPU_NODE.horovod, libraries=("/b/libmpi.so.40",))),
            "Horovod MPI",
            "another MPI than mpi4py's",
            "train.sums = mpi",
        ),
        (
            replace(HEALTHY, horovod=replace(HEALTHY.horovod, mpi=False)),
            "Horovod MPI",
            "without MPI",
            "make env",
        ),
        (
            replace(
                HEALTHY,
                tensorflow=TensorFlow(error="ModuleNotFoundError: No module named 'tensorflow'"),
            ),
            "TensorFlow",
            "No module named 'tensorflow'",
            "make env",
        ),
        (
            replace(GPU_NODE, tensorflow=HEALTHY.tensorflow),
            "TensorFlow GPU",
            "a TensorFlow for CPUs",
            "tensorflow[and-cuda]",
        ),
        (
            replace(HEALTHY, hdf5=replace(HEALTHY.hdf5, loaded="1.10.8")),
            "HDF5 clash",
            "built against HDF5 1.14.6, but runs with 1.10.8",
            "module unload hdf5",
        ),
        (
            replace(HEALTHY, hdf5=Hdf5(error="ImportError: libhdf5.so")),
            "HDF5",
            "libhdf5",
            "make env",
        ),
        (
            replace(GPU_NODE, ranks=tuple(replace(r, gpus=(A,)) for r in GPU_NODE.ranks)),
            "GPUs",
            "2 ranks share 1 GPUs",
            "one rank a GPU",
        ),
        (
            replace(GPU_NODE, ranks=(GPU_NODE.ranks[0], replace(GPU_NODE.ranks[1], gpus=()))),
            "GPUs",
            "ranks 1 see no GPU",
            "--gpus-per-task=1",
        ),
    ],
)
def test_each_fault_is_found_alone_and_says_what_to_do(facts, subject, found, advice):
    (fault,) = faults(facts)
    assert fault.subject == subject
    assert found in fault.found
    assert advice in fault.advice
    assert "\n" not in fault.found + fault.advice


def test_loops_that_no_folder_keeps_are_a_note():
    facts = replace(HEALTHY, loops=Loops(version="0.66.0"))
    (note,) = (f for f in examine(facts) if f.level != "ok")
    assert (note.level, note.subject) == ("note", "numba") and "NUMBA_CACHE_DIR" in note.advice


def test_a_numba_that_cannot_be_imported_is_a_fault_and_stops_no_other_check():
    """As an installation may be broken: the doctor itself must run in it."""
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from cosmodeep_hpc.doctor import probe, checks\n"
        "print([f.subject for f in checks.examine(probe.gather()) if f.level == 'fault'])"
    )
    job = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert job.stdout.splitlines()[-1] == "['numba']"


@pytest.mark.parametrize("writable", [True, False])
def test_where_loops_are_kept_is_what_numba_says(tmp_path, writable):
    """In a process of its own, whose only folder to keep them in is given."""
    folder = tmp_path / "kept" if writable else "/proc/nowhere"
    code = "from cosmodeep_hpc.tiles.noise import have_data; print(have_data.stats.cache_path)"
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    env |= {} if writable else {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    job = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert job.stdout.startswith(str(folder)) if writable else job.stdout.strip() == ""


LIGHT = replace(
    HEALTHY,
    ranks=ALONE,
    mpi=Mpi(missing=True),
    horovod=Horovod(missing=True),
    tensorflow=TensorFlow(missing=True),
)


def test_what_is_not_installed_and_not_wanted_is_no_fault():
    notes = {f.subject: f for f in examine(LIGHT) if f.level == "note"}
    assert set(notes) == {"MPI", "Horovod", "TensorFlow"} and not faults(LIGHT)
    assert all(note.advice for note in notes.values())
    assert notes["MPI"].advice == "pip install 'cosmodeep_hpc[mpi]'"
    assert notes["TensorFlow"].advice == "pip install 'cosmodeep_hpc[train]'"


@pytest.mark.parametrize("facts, subject", [
    (replace(LIGHT, environ=TWO), "MPI"),
    (replace(LIGHT, environ={"PMIX_RANK": "0"}), "MPI"),
    (replace(LIGHT, environ={"COSMODEEP_ENGINE": "keras"}), "TensorFlow"),
])  # fmt: skip
def test_what_is_not_there_is_a_fault_where_it_is_wanted(facts, subject):
    assert [fault.subject for fault in faults(facts)] == [subject]


def test_an_mpi_that_does_not_start_is_a_note_for_one_rank():
    broken = replace(LIGHT, mpi=Mpi(error="RuntimeError: cannot load MPI library"))
    assert not faults(broken)
    (note,) = (f for f in examine(broken) if f.subject == "MPI")
    assert "cannot load MPI library" in note.found and "module" in note.advice


@pytest.mark.parametrize(
    "facts, subject, said",
    [
        (replace(HEALTHY, horovod=Horovod(missing=True)), "Horovod", "summed by MPI"),
        (replace(HEALTHY, horovod=Horovod(error="ImportError: x.so")), "Horovod", "ImportError"),
        (replace(GPU_NODE, horovod=HEALTHY.horovod), "Horovod NCCL", "summed by MPI"),
        (
            replace(HEALTHY, horovod=replace(HEALTHY.horovod, libraries=("/b/libmpi.so.40",))),
            "Horovod MPI",
            "another MPI than mpi4py's: /b/libmpi.so.40",
        ),
    ],
)
def test_ranks_without_horovod_sum_by_mpi(facts, subject, said):
    assert not faults(facts)
    (note,) = (f for f in examine(facts) if f.level == "note" and f.subject == subject)
    assert said in note.found and "make env" in note.advice


def test_the_doctor_answers_where_mpi_ends_the_process():
    """In the shell of `srun --pty bash` Open MPI 4 finds no PMI, and ends who starts it."""
    told = doctor(SLURM_JOB_ID="7", SLURM_STEP_ID="0", SLURM_STEP_NUM_TASKS="1", SLURM_PROCID="0",
                  SLURM_NTASKS="1", SLURM_LOCALID="0", SLURM_NODELIST="a")  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    answers = ("it ends its process, status", "ok     MPI         Open MPI 5")
    assert any(answer in told.stdout for answer in answers) and "no fault found" in told.stdout


def test_onednn_off_is_a_note_on_a_cpu_node_and_nothing_on_a_gpu_node():
    slow = replace(HEALTHY, tensorflow=replace(HEALTHY.tensorflow, onednn=False))
    assert [f.advice for f in examine(slow) if f.level == "note"] == [
        "export TF_ENABLE_ONEDNN_OPTS=1"
    ]
    gpu = replace(GPU_NODE, tensorflow=replace(GPU_NODE.tensorflow, onednn=False))
    assert all(f.level == "ok" for f in examine(gpu))


def test_a_rank_of_a_launcher_that_does_not_say_how_many_it_started_is_a_note():
    (note,) = (
        finding
        for finding in examine(replace(HEALTHY, ranks=ALONE, environ={"PMIX_RANK": "0"}))
        if finding.level != "ok"
    )
    assert (note.level, note.subject) == ("note", "launch")
    assert "task 0 of a PMIx launcher" in note.found and "this MPI world has 1" in note.found
    # two ranks that found each other need no note, nor does mpirun, which says how many
    for healthy in (
        replace(HEALTHY, environ={"PMIX_RANK": "0"}),
        replace(
            HEALTHY,
            ranks=ALONE,
            environ={"PMIX_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
        ),
    ):
        assert all(finding.level == "ok" for finding in examine(healthy))


def test_the_table_shows_every_finding_and_counts_the_faults():
    findings = examine(replace(HEALTHY, is_root=True))
    text = table(findings)
    assert all(finding.found in text and finding.advice in text for finding in findings)
    assert text.endswith("faults found: 1")
    assert table(examine(HEALTHY)).endswith("no fault found")


def test_each_rank_has_the_gpu_of_its_number_on_the_node():
    found = [f.found for f in examine(GPU_NODE) if f.subject == "GPU"]
    assert found == [f"node1 rank 0: {A}", f"node1 rank 1: {B}"]


@pytest.mark.parametrize(
    "devices, expected",
    [
        (None, (A, B)),
        ("1,0", (B, A)),
        ("GPU-bb", (B,)),
        ("0,7,1", (A,)),  # CUDA hides all after an unknown device
        ("", ()),
        ("-1", ()),
    ],
)
def test_visible_gpus_are_those_cuda_would_show(devices, expected):
    listing = [
        "GPU 0: H100 (UUID: GPU-aaaa)",
        "  MIG 1g.10gb Device 0: (UUID: MIG-cc)",
        "GPU 1: H100 (UUID: GPU-bbbb)",
    ]
    assert visible_gpus(nvidia_gpus("\n".join(listing)), devices) == expected


def test_gpus_of_amd_are_named_as_rocm_names_them():
    listing = (
        "device,Unique ID,Card Series,Card Model\n"
        "card0,0xc1a2b3c4d5e6f708,AMD Instinct MI250X,0x740c\n"
        "card1,0x18f7e6d5c4b3a291,AMD Instinct MI250X,0x740c\n"
    )
    gpus = amd_gpus(listing)
    assert visible_gpus(gpus, "1") == ("AMD Instinct MI250X (GPU-18f7e6d5c4b3a291)",)
    assert visible_gpus(gpus, "GPU-c1a2") == ("AMD Instinct MI250X (GPU-c1a2b3c4d5e6f708)",)
    assert amd_gpus("") == []


def doctor(*prefix, **variables):
    """Run the real doctor with these environment variables, outside any job."""
    command = [*prefix, sys.executable, "-m", "cosmodeep_hpc.doctor"]
    environ = unlaunched() | ROOT | variables
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)


def test_this_installation_on_one_rank_of_mpirun_has_no_fault():
    one = doctor("mpirun", "-n", "1")
    assert one.returncode == 0, one.stdout + one.stderr
    assert "1 by mpirun" in one.stdout and "thread level MULTIPLE" in one.stdout


def test_this_installation_on_two_real_ranks_prints_one_table_without_a_fault():
    two = doctor("mpirun", "-n", "2", OMPI_MCA_rmaps_base_oversubscribe="1")
    assert two.returncode == 0, two.stdout + two.stderr
    assert two.stdout.count("no fault found") == 1
    assert "2 by mpirun" in two.stdout


@pytest.mark.parametrize("procid, tables", [("0", 1), ("1", 0)])
def test_srun_with_the_wrong_pmi_fails_on_every_task_and_is_printed_by_the_first(procid, tables):
    task = doctor(SLURM_STEP_ID="0", SLURM_STEP_NUM_TASKS="2", SLURM_PROCID=procid)
    assert task.returncode == 1, task.stdout + task.stderr
    assert task.stdout.count("srun started 2 tasks, but each is an MPI world of 1") == tables
