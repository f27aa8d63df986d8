"""`pip install .` classifies where there is no MPI, compiler, TensorFlow or Horovod."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits
from support.fields import write_pairs
from support.launch import unlaunched

PROJECT = Path(__file__).parents[2]
MINUTES = 15  # 2 to 4 on a quiet machine, nearly all of it pip's

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 * MINUTES)]


def oldest():
    """The lower end of each range in setup.cfg, as pip takes it."""
    settings = configparser.ConfigParser()
    settings.read(PROJECT / "setup.cfg")
    lines = settings["options"]["install_requires"].split("\n")
    ranges = [line.split(",")[0].split(" >= ") for line in lines if line and line[0] != "#"]
    return [f"{name}=={low}.*" for name, low in ranges]


class Installation:
    """An environment with the project in it, and nothing else on its PATH."""

    def __init__(self, folder, packages):
        self.bin = folder / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        # a build writes beside the source
        there = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests")
        source = shutil.copytree(PROJECT, folder / "source", ignore=there)
        self.run("pip", "install", "-q", "--disable-pip-version-check", source, *packages)

    def run(self, program, *words, **more):
        """What a program of the environment says; it must end well."""
        env = {k: v for k, v in unlaunched().items() if not k.startswith(("PYTHON", "COSMODEEP_"))}
        job = subprocess.run(
            [self.bin / program, *map(str, words)],
            env={**env, "PATH": str(self.bin), **more},
            capture_output=True, text=True, timeout=60 * MINUTES,
        )  # fmt: skip
        assert job.returncode == 0, job.stdout[-2000:] + job.stderr[-4000:]
        return job.stdout


@pytest.fixture(scope="module", params=["newest", "oldest"])
def installed(request, tmp_path_factory):
    """An installation with the newest packages that setup.cfg allows, and with the oldest."""
    if request.param == "oldest" and sys.version_info >= (3, 13):
        pytest.skip("the oldest packages have no wheels for this Python")
    folder = tmp_path_factory.mktemp("installed")
    yield Installation(folder, oldest() if request.param == "oldest" else [])
    shutil.rmtree(folder)  # 700 MB


def test_it_brings_neither_mpi_nor_tensorflow_nor_horovod(installed):
    listed = installed.run("pip", "list", "--format=freeze").lower().split("\n")
    names = {line.split("==")[0].replace("_", "-") for line in listed}
    assert {"cosmodeep-hpc", "numba", "matplotlib"} <= names
    assert not names & {"mpi4py", "tensorflow", "tensorflow-cpu", "keras", "horovod", "torch"}


def test_the_commands_that_need_no_image(installed):
    assert "robust" in installed.run("cosmodeep", "models")
    assert "[classify]" in installed.run("cosmodeep", "config")
    told = installed.run("cosmodeep", "doctor")
    assert "no fault found" in told and told.count("not installed: ") == 2


def test_it_has_the_types_and_the_models(installed):
    code = (
        "from importlib.resources import files\n"
        "folder = files('cosmodeep_hpc')\n"
        "assert (folder / 'py.typed').is_file() and (folder / 'models/robust.keras').is_file()"
    )
    installed.run("python", "-c", code)


def test_classify_finds_there_what_it_finds_here(installed, tmp_path):
    image = write_pairs(tmp_path / "images", 1, (384, 384)) / "noise-00000.fits"
    installed.run("cosmodeep", "classify", image, "--out", tmp_path / "there")
    here = [sys.executable, "-m", "cosmodeep_hpc", "classify", image, "--out", tmp_path / "here"]
    subprocess.run(here, env=unlaunched() | {"PYTHONPATH": ""}, check=True)
    made = {path.name for path in (tmp_path / "here").iterdir()}
    assert made == {path.name for path in (tmp_path / "there").iterdir()}
    masks = [fits.getdata(tmp_path / at / "noise-00000.mask.fits") for at in ("here", "there")]
    assert (masks[0] == 1).any() and (masks[0] == masks[1]).all()


def test_the_python_interface_needs_no_more(installed, tmp_path):
    image = write_pairs(tmp_path / "images", 1, (384, 384)) / "noise-00000.fits"
    code = (
        "import sys, cosmodeep_hpc\n"
        f"found = cosmodeep_hpc.classify({os.fspath(image)!r})\n"
        "assert (found.mask == 1).any() and len(found.islands)\n"
        "assert not {'mpi4py', 'tensorflow', 'keras'} & set(sys.modules)"
    )
    installed.run("python", "-c", code)
