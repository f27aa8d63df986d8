"""The shipped batch scripts, run as a user would: by sbatch on a real Slurm, and by bash alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from installation import missing
from scripts import (
    ENDS,
    ONE_RANK,
    PROJECT,
    SCRIPTS,
    bash,
    program,
    sbatch,
    submit,
)
from support.waiting import until

TWO_EPOCHS = ("--train.epochs", "2", "--train.log_steps", "1")


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def losses(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


@pytest.fixture(scope="session")
def trained(cluster, tiles, tmp_path_factory):
    """A run of four ranks on two nodes, and the log of its job."""
    folder = tmp_path_factory.mktemp("trained")
    job = sbatch(cluster, folder, "train.sh", "--tiles", tiles, "--out", "run", *TWO_EPOCHS)
    assert job.state == "COMPLETED", job.log
    return folder / "run", job.log


def test_train_by_sbatch_on_two_nodes_leaves_a_model(trained):
    run, log = trained
    assert (run / "model.keras").stat().st_size > 0
    assert log.count("model in run/model.keras") == 1  # four ranks, and not four jobs of one


def test_train_by_bash_does_the_same_without_slurm(trained, tiles, tmp_path):
    done = bash(tmp_path, "train.sh", "--tiles", tiles, "--out", "run", *TWO_EPOCHS)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/model.keras").stat().st_size > 0
    assert done.stdout.count("model in") == 1
    # the global batches are the same, however many ranks they are divided between
    assert losses(tmp_path / "run") == pytest.approx(losses(trained[0]), rel=1e-4)


def test_tiles_by_sbatch_on_two_nodes_are_those_of_one_rank(cluster, images, tiles, tmp_path):
    words = ("--images", images, "--out", "tiles", "--tiles.images_per_shard", "1")
    job = sbatch(cluster, tmp_path, "tiles.sh", *words)
    assert job.state == "COMPLETED", job.log
    assert bytes_of(tmp_path / "tiles") == bytes_of(tiles)


def test_mock_by_sbatch_leaves_a_pair(cluster, tmp_path):
    words = ("--out", "sky", "--sky.mesh", "16", "--instrument.pixels", "80")
    job = sbatch(cluster, tmp_path, "mock.sh", *words, options=("--ntasks-per-node=2", "-c1"))
    assert job.state == "COMPLETED", job.log
    assert (tmp_path / "sky/noise-00000.fits").stat().st_size > 0


@pytest.mark.parametrize("by", ["sbatch", "bash"])
def test_arguments_arrive_as_they_were_given(request, images, tmp_path, by):
    out = 'it\'s $HOME * of "tiles"'
    words = ("tiles.sh", "--images", images, "--out", out)
    if by == "sbatch":
        job = sbatch(request.getfixturevalue("cluster"), tmp_path, *words, options=ONE_RANK)
        assert job.state == "COMPLETED", job.log
    else:
        done = bash(tmp_path, *words, RANKS="2")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / out / "index.json").exists()


@pytest.mark.parametrize("by", ["sbatch", "bash"])
def test_a_bad_config_is_the_job_s_status_2(request, tiles, tmp_path, by):
    (tmp_path / "bad.toml").write_text("[train]\nepoch = 2\n")
    words = ("train.sh", "--config", "bad.toml", "--tiles", tiles, "--out", "run")
    if by == "sbatch":
        job = sbatch(request.getfixturevalue("cluster"), tmp_path, *words)
        status, log = job.status, job.log
        assert job.state == "FAILED"
    else:
        done = bash(tmp_path, *words)
        status, log = done.returncode, done.stderr
    assert status == 2, log
    assert "bad.toml: no option train.epoch" in log
    assert not (tmp_path / "run").exists()


def test_a_run_that_saved_all_is_requeued_by_its_script(cluster, tmp_path):
    stage = program(
        tmp_path / "stage",
        # the ranks end one after the other, and yet with the status of the first
        '[ "${SLURM_RESTART_COUNT:-0}" -ge 1 ] || { sleep $SLURM_PROCID; exit 75; }',
    )
    job, log = submit(cluster, tmp_path, "train.sh", COSMODEEP_PYTHON=str(stage))
    cluster.release(job)
    ended = cluster.wait(job, log=log, timeout=60)
    assert (ended.state, ended.status, ended.restarts) == ("COMPLETED", 0, 1), ended.log
    assert ended.log.count("all is saved: the job is put back into the queue") == 1


def test_a_rank_has_the_threads_of_its_cores_and_gpus_go_with_ranks(cluster, tmp_path):
    stage = program(tmp_path / "stage", 'echo "$OMP_NUM_THREADS threads on $CUDA_VISIBLE_DEVICES"')
    options = ("--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=2", "--gpus-per-node=2")
    job = sbatch(cluster, tmp_path, "train.sh", options=options, COSMODEEP_PYTHON=str(stage))
    assert (job.status, job.log.splitlines()) == (0, ["2 threads on 0,1"] * 2)
    options = ("--nodes=1", "--ntasks-per-node=1", "--gpus-per-node=2")
    job = sbatch(cluster, tmp_path, "train.sh", options=options, COSMODEEP_PYTHON=str(stage))
    assert "1 tasks for the 2 GPUs of a node" in job.log


def test_a_script_finds_the_project_it_is_submitted_from_or_says_what_to_do(cluster, tmp_path):
    stage = {"COSMODEEP_PYTHON": str(program(tmp_path / "stage", "pwd")), "COSMODEEP_HOME": ""}
    here = {"options": ONE_RANK, "submit_from": PROJECT}
    job = sbatch(cluster, tmp_path, "tiles.sh", **here, **stage)
    assert (job.status, job.log) == (0, str(PROJECT))
    job = sbatch(cluster, tmp_path, "train.sh", options=ONE_RANK, **stage)
    assert job.status == 2
    assert "submit from the project's folder, or set COSMODEEP_HOME" in job.log


@pytest.mark.parametrize(
    "listed, chosen",
    [
        ("MPI plugin types are...\n\tpmix\n\tnone\n\tcray_shasta\n\tpmi2", "pmix"),
        ("srun: MPI types are...\nsrun: none\nsrun: pmix_v3\nsrun: pmi2", "pmix_v3"),
        ("srun: MPI types are...\nsrun: none\nsrun: openmpi\nsrun: pmi2", "pmi2"),
        ("MPI plugin types are...\n\tnone", ""),
    ],
    ids=["pmix", "one version of pmix", "pmi2", "none"],
)
def test_the_pmi_is_one_that_the_site_offers(tmp_path, listed, chosen):
    program(tmp_path / "srun", f"cat >&2 <<'END'\n{listed}\nEND")
    found = subprocess.run(
        ["bash", "-c", 'source "$0" && offered_mpi', str(SCRIPTS / "launch.sh")],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert found.stdout.strip() == chosen


def test_ranks_in_a_container_meet_without_seeing_slurm_s_folders(cluster, tmp_path):
    code = "from mpi4py import MPI; print(MPI.COMM_WORLD.allreduce(1), flush=True)"
    hides = f"mount -t tmpfs none {cluster.folder} && exec {sys.executable} -c '{code}'"
    program(tmp_path / "apptainer", f'exec unshare --mount bash -c "{hides}"')
    (tmp_path / "image.sif").touch()
    where = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CONTAINER": str(tmp_path / "image.sif")}
    job = sbatch(cluster, tmp_path, "tiles.sh", **where)
    assert (job.status, job.log.split()) == (0, ["4"] * 4), job.log


def test_the_doctor_sees_that_a_job_of_two_is_two_jobs_of_one(cluster):
    # without Slurm's PMI, and without the variable by which Open MPI knows that it needs one,
    # each task becomes a world of its own
    words = ("--mpi=none", "-n2", "env", "-u", "SLURM_NODELIST")
    done = subprocess.run(
        ["srun", *words, sys.executable, "-m", "cosmodeep_hpc", "doctor"],
        env=cluster.environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=ENDS,
    )
    assert done.returncode == 1, done.stderr
    assert "srun started 2 tasks, but each is an MPI world of 1" in done.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_scripts_are_clean():
    scripts = [f"slurm/{path.name}" for path in sorted(SCRIPTS.glob("*.sh"))]
    words = ["shellcheck", "--external-sources", *scripts]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_nodes_share_no_memory_with_each_other_or_the_machine(cluster):
    """Else job 1 on node1 of two clusters at a time would meet in Open MPI's shared memory."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as ours:
        words = f'echo "$(ls /dev/shm)"; touch /dev/shm/{Path(ours.name).name}-$(hostname); sleep 1'
        found = cluster.call("srun", "-N2", "bash", "-c", f"{words}; ls /dev/shm | wc -l")
    assert found.split() == ["1", "1"]


def test_a_cluster_leaves_no_process_however_its_owner_ends(cluster, tmp_path):
    assert missing() == ""
    script = Path(__file__).with_name("cluster.py")
    waits = f"srun sleep 300 & sleep 1; touch {tmp_path}/up; wait"
    owner = subprocess.Popen(
        [sys.executable, script, "bash", "-c", waits],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    try:
        until(lambda: (tmp_path / "up").exists(), 60)
        assert len(processes_with(tmp_path)) >= 6  # munged, slurmctld, four slurmd
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    os.killpg(owner.pid, signal.SIGKILL)  # its command, which is no part of the cluster
    until(lambda: not processes_with(tmp_path), 10)


def processes_with(folder):
    """The processes that have the folder in their command."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in file.read_bytes():
                found.append(file)
        except OSError:  # ended meanwhile
            continue
    return found
