"""The recipe of the image, and ranks in it that are started from outside, by mpirun and by srun.

`make test-container` builds the image first: a Debian root in the user's cache, in which the steps
of the recipe were carried out (containers/check.py). The tests that need it are skipped elsewhere.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import PROJECT, bash, program, sbatch

sys.path.insert(0, str(PROJECT / "containers"))
import check  # noqa: E402

built = pytest.mark.skipif(
    not check.is_built(),
    reason="no image of this code: `make test-container` builds it",
)
TWO_NODES = ("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1")
ONE_EPOCH = ("--train.epochs", "1", "--train.log_steps", "1")


@pytest.fixture
def image(tmp_path):
    """The variables by which the scripts use the image, with a stand-in for Apptainer."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder / "apptainer", f'exec {sys.executable} {check.__file__} "$@"')
    return {"PATH": f"{folder}:{check.PATH}", "CONTAINER": str(check.IMAGE), "COSMODEEP_PYTHON": ""}


def losses(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["kind"] == "train"]


@built
@pytest.mark.timeout(600)
def test_ranks_in_the_image_train_by_mpirun_and_by_srun_alike(cluster, image, tiles, tmp_path):
    words = ("train.sh", "--tiles", tiles, *ONE_EPOCH, "--out")
    alone = bash(tmp_path, *words, "by-mpirun", **image, RANKS="2")
    assert alone.returncode == 0, alone.stderr
    job = sbatch(cluster, tmp_path, *words, "by-srun", options=TWO_NODES, **image)
    assert job.state == "COMPLETED", job.log
    for name, said in (("by-mpirun", alone.stdout), ("by-srun", job.log)):
        assert said.count(f"model in {name}/model.keras") == 1  # two ranks, not two jobs of one
    assert losses(tmp_path / "by-srun") == pytest.approx(losses(tmp_path / "by-mpirun"), rel=1e-5)


@built
def test_the_image_uses_nothing_of_the_host_s_python_and_is_not_written_to(image, tmp_path):
    code = "import cosmodeep_hpc, sys; print(cosmodeep_hpc.__file__, sys.prefix)"
    words = ("apptainer", "exec", str(check.IMAGE))
    env = {**image, "PYTHONPATH": str(PROJECT), "LD_LIBRARY_PATH": str(tmp_path), "HOME": "/root"}
    how = {"env": env, "cwd": tmp_path, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run([*words, "python3", "-c", code], **how)
    inside = "/opt/cosmodeep/cosmodeep_hpc/__init__.py /opt/cosmodeep/.venv"
    assert done.stdout.split() == inside.split(), done.stderr
    done = subprocess.run([*words, "touch", "/opt/cosmodeep/new"], **how)
    assert "Read-only file system" in done.stderr


@built
@pytest.mark.parametrize(
    "mpi, status, found",
    [
        ("pmix", 0, "2 by srun; node and its ranks: node1 0; node2 1"),
        ("none", 1, "srun started 2 tasks, but each is an MPI world of 1"),
    ],
)
def test_the_doctor_in_the_image(cluster, image, mpi, status, found):
    words = ("srun", f"--mpi={mpi}", "--nodes=2", "--ntasks=2", "env")
    # without it Open MPI does not know that a PMI is missing, as many builds do not
    words += ("-u", "SLURM_NODELIST") if mpi == "none" else ()
    inside = ("apptainer", "exec", str(check.IMAGE), "cosmodeep", "doctor")
    done = subprocess.run(
        [*words, *inside],
        env={**cluster.environment, **image},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert found in done.stdout


# --- the recipe's text ---------------------------------------------------------------------------


def test_the_recipe_names_files_that_are_there():
    recipe = check.parse(check.RECIPE.read_text())
    assert recipe.header == {"bootstrap": "docker", "from": "debian:bookworm-slim"}
    assert {"post", "test", "runscript", "environment", "labels", "help"} <= set(recipe.sections)
    assert all((PROJECT / source).exists() for source, _ in recipe.files)
    text = " ".join(recipe.sections.values())
    assert "{{" not in text
    # whatever env/setup.sh reads is in the image
    read = re.findall(r"\$HERE\"?/([\w./-]+)", (PROJECT / "env/setup.sh").read_text())
    copied = [source for source, _ in recipe.files]
    for path in {name for name in read if (PROJECT / name).is_file()}:
        assert any(Path(path).is_relative_to(source) for source in copied), path


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"BASE": "ubuntu:24.04", "MPI": "mpich"}, 'version="mpich"'),
        ({"MPI": "4.1.6"}, 'version="4.1.6"'),
        ({"TENSORFLOW": "tensorflow[and-cuda]"}, 'COSMODEEP_TENSORFLOW="tensorflow[and-cuda]"'),
        ({"GPU_OPERATIONS": "NCCL"}, 'export HOROVOD_GPU_OPERATIONS="NCCL"'),
        ({"GPUS": "80,90"}, 'export HOROVOD_BUILD_CUDA_CC_LIST="80,90"'),
    ],
)
def test_build_arguments_reach_the_steps(changes, said):
    recipe = check.parse(check.RECIPE.read_text(), changes)
    assert said in recipe.sections["post"]
    assert recipe.header["from"] == changes.get("BASE", "debian:bookworm-slim")


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("Bootstrap: docker\nFrom: {{ BASE }}\n%post\n  true\n", "no such name in %arguments"),
        ("%arguments\n  MPI=\n%post\n", "expected NAME=VALUE"),
        ("Bootstrap: docker\n%psot\n", "unknown or repeated section %psot"),
        ("Bootstrap docker\n", "neither 'Key: value' nor a section"),
    ],
)
def test_a_recipe_that_apptainer_would_not_take_is_refused(text, complaint):
    with pytest.raises(check.RecipeError, match=re.escape(complaint)):
        check.parse(text)


def test_the_steps_are_clean_shell():
    recipe = check.parse(check.RECIPE.read_text())
    for name in ("post", "test", "runscript", "environment"):
        script = recipe.sections[name]
        done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, f"%{name}: {done.stderr}"
