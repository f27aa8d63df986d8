"""The words that enter a container, by the runtime that is there and the kind of image."""

import os
import subprocess

import pytest
from scripts import SCRIPTS, bash, program

STAGE = ["/opt/python", "-m", "cosmodeep_hpc", "tiles", "--out", "a b"]


def entered(folder, image, programs, **environment):
    """The words that start a stage in an image, where these programs are there; or the error."""
    there = folder / "bin"
    there.mkdir()
    for name in programs:
        program(there / name, f"printf '%s\\n' {name} \"$@\"")
    # of this machine's programs those that the scripts call, and no runtime
    for name in (
        "bash",
        "cat",
        "dirname",
        "env",
        "grep",
        "id",
        "lscpu",
        "nproc",
        "sort",
        "tr",
        "wc",
    ):
        (there / name).symlink_to(f"/usr/bin/{name}")
    here = {"PATH": str(there), "CONTAINER": image, "RANKS": "1", "CUDA_VISIBLE_DEVICES": ""}
    here["COSMODEEP_PYTHON"] = "/opt/python"
    done = bash(folder, "tiles.sh", "--out", "a b", **here | environment)
    return done.stdout.splitlines() if done.returncode == 0 else done.stderr.strip()


@pytest.mark.parametrize(
    "programs, runtime",
    [(("apptainer",), "apptainer"), (("singularity",), "singularity"),
     (("singularity", "apptainer", "podman"), "apptainer")],
)  # fmt: skip
def test_an_image_file_is_opened_by_what_is_there(tmp_path, programs, runtime):
    (tmp_path / "my image.sif").touch()
    found = entered(tmp_path, "my image.sif", programs)
    assert found == [runtime, "exec", "my image.sif", *STAGE]


def test_gpus_and_folders_go_inside(tmp_path):
    (tmp_path / "x.sif").touch()
    here = {"CUDA_VISIBLE_DEVICES": "0", "CONTAINER_BIND": "/data,/my scratch"}
    found = entered(tmp_path, "x.sif", ("apptainer",), **here)
    binds = ["--bind", "/data", "--bind", "/my scratch"]
    assert found == ["apptainer", "exec", "--nv", *binds, "x.sif", *STAGE]


@pytest.mark.parametrize("runtime", ["podman-hpc", "podman", "docker"])
def test_an_image_of_a_registry_is_run(tmp_path, runtime):
    found = entered(tmp_path, "site/cosmodeep:1", (runtime,), CUDA_VISIBLE_DEVICES="0,1")
    assert found[:3] == [runtime, "run", "--rm"]
    assert found[-len(STAGE) - 1 :] == ["site/cosmodeep:1", *STAGE]
    assert f"{tmp_path}:{tmp_path}" in found and f"--workdir={tmp_path}" in found
    assert ("--env-host" in found) == (runtime != "docker")
    assert ("--gpu" if runtime == "podman-hpc" else "nvidia.com/gpu=all") in found


def test_an_image_of_enroot_is_started(tmp_path):
    (tmp_path / "x.sqsh").touch()
    found = entered(tmp_path, "x.sqsh", ("enroot", "podman"))
    mounts = ["--mount", f"{tmp_path}:{tmp_path}"]
    assert found == ["enroot", "start", *mounts, "x.sqsh", *STAGE]


def test_the_user_s_word_wins(tmp_path):
    (tmp_path / "x.sif").touch()
    here = {"CONTAINER_RUNTIME": "singularity"}
    assert entered(tmp_path, "x.sif", ("apptainer", "singularity"), **here)[0] == "singularity"


@pytest.mark.parametrize(
    "image, environment, said",
    [
        ("none.sif", {}, "CONTAINER=none.sif: no such image"),
        ("there.sif", {}, "neither apptainer nor singularity here: load its module"),
        ("there.sqsh", {}, "neither srun --container-image (pyxis) nor enroot here"),
        ("site/cosmodeep:1", {}, "no such file, and none of podman-hpc, podman, docker and pyxis"),
        ("there.sif", {"CONTAINER_RUNTIME": "rkt"}, "CONTAINER_RUNTIME=rkt: not known"),
        ("there.sqsh", {"CONTAINER_RUNTIME": "pyxis"}, "pyxis: only in a Slurm job"),
    ],
)
def test_what_cannot_be_entered_is_told_in_one_line(tmp_path, image, environment, said):
    for name in ("there.sif", "there.sqsh"):
        (tmp_path / name).touch()
    found = entered(tmp_path, image, (), **environment)
    assert said in found and "\n" not in found


def test_pyxis_is_srun_s_own(tmp_path):
    """Its options go to srun; the interpreter is that of the image."""
    program(
        tmp_path / "srun",
        'case "$*" in --help) echo --container-image;; --mpi=list) echo pmix;; '
        "*) printf '%s\\n' \"$@\";; esac",
    )
    (tmp_path / "x.sqsh").touch()
    here = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CONTAINER": "x.sqsh", "SLURM_JOB_ID": "1"}
    here |= {"SLURM_TASKS_PER_NODE": "2", "CONTAINER_BIND": "/data", "SLURM_CPUS_PER_TASK": "1"}
    found = bash(tmp_path, "tiles.sh", COSMODEEP_PYTHON="python3.12", **here).stdout.splitlines()
    assert "--container-image=x.sqsh" in found
    assert f"--container-mounts={tmp_path},/data" in found
    assert found[found.index("python3.12") :] == ["python3.12", "-m", "cosmodeep_hpc", "tiles"]


@pytest.mark.parametrize(
    "environment, count",
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, 2),
        ({"CUDA_VISIBLE_DEVICES": "3"}, 1),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8f3b,GPU-11ac"}, 2),
        ({"CUDA_VISIBLE_DEVICES": "MIG-2d1c,MIG-77aa,MIG-9"}, 3),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, 1),  # what follows -1 is hidden
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 0),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 0),  # Slurm's, without --gres
        ({"CUDA_VISIBLE_DEVICES": "none"}, 0),
        ({"ROCR_VISIBLE_DEVICES": "0,1,2,3"}, 4),
        ({"HIP_VISIBLE_DEVICES": "1"}, 1),
        ({"SLURM_JOB_ID": "1"}, 0),
        ({"SLURM_JOB_ID": "1", "SLURM_GPUS_ON_NODE": "4", "CUDA_VISIBLE_DEVICES": "0"}, 4),
        ({"SLURM_JOB_ID": "1", "SLURM_GPUS_ON_NODE": "gpu:2"}, 2),
        ({"SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "0,1"}, 2),
    ],
    ids=str,
)
def test_gpus_are_counted_in_all_spellings(environment, count):
    found = subprocess.run(
        ["bash", "-c", 'has() { false; }; source "$0" && count_gpus', str(SCRIPTS / "gpus.sh")],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert found.stdout.strip() == str(count), found.stderr
