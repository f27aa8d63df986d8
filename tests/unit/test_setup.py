"""The set-up refuses what cannot be built in one line, before any download, and finds CUDA."""

import subprocess
from pathlib import Path

import pytest

ENV = Path(__file__).resolve().parents[2] / "env"
GPUS = {"COSMODEEP_TENSORFLOW": "tensorflow[and-cuda]", "HOROVOD_GPU_OPERATIONS": "NCCL"}


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def toolkit(folder, version):
    """A stand-in for a CUDA toolkit, whose nvcc says its version and where it lies."""
    said = f"Cuda compilation tools, release {version}, V{version}.1"
    text = f'case "$*" in *dryrun*) echo "#\\$ TOP={folder}/bin/.." >&2 ;; *) echo "{said}" ;; esac'
    program(folder / "bin/nvcc", text)
    return folder


def set_up(tmp_path, **options):
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path), **options}
    env |= {"VENV": str(tmp_path / "venv"), "PYTHON": "/bin/false"}  # one that goes on ends soon
    words = ["bash", str(ENV / "setup.sh")]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)


def call(function, tmp_path, **options):
    """Call a function of env/cuda.sh."""
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", **options}
    stop = 'die() { echo "set-up: $*" >&2; exit 2; }'
    words = ["bash", "-euo", "pipefail", "-c", f"{stop}; source {ENV}/cuda.sh; {function}"]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)


def test_a_file_system_without_flock_is_named_and_the_set_up_goes_on(tmp_path):
    program(tmp_path / "bin/flock", "exit 71")  # as util-linux ends where flock(2) fails
    done = set_up(tmp_path)
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith(f"{tmp_path}/venv: no locks on this file system; expected one set-up")
    assert second.startswith("setting up ")


@pytest.mark.parametrize(
    "options, said",
    [
        ({"COSMODEEP_HOROVOD": "maybe"}, "COSMODEEP_HOROVOD=maybe: expected yes or no"),
        ({"HOROVOD_GPU_OPERATIONS": "nccl"}, "HOROVOD_GPU_OPERATIONS=nccl: expected NCCL or MPI"),
        ({"HOROVOD_GPU_OPERATIONS": "NCCL"}, "add COSMODEEP_TENSORFLOW='tensorflow[and-cuda]'"),
        ({**GPUS, "CUDA_HOME": "{tmp}/thirteen"}, "found: 13.0 in {tmp}/thirteen; load a module"),
        ({**GPUS, "CUDA_HOME": "{tmp}/nowhere"}, "found: no nvcc in {tmp}/nowhere; load a module"),
        ({**GPUS, "PATH": "{tmp}/arm:/usr/bin:/bin"}, "wheel for aarch64 is not built for CUDA"),
    ],
)
def test_refused_in_one_line(tmp_path, options, said):
    toolkit(tmp_path / "thirteen", "13.0")
    program(tmp_path / "arm/uname", "echo aarch64")
    done = set_up(tmp_path, **{k: v.format(tmp=tmp_path) for k, v in options.items()})
    assert done.returncode == 2 and done.stdout == ""
    assert said.format(tmp=tmp_path) in done.stderr
    assert done.stderr.startswith("set-up: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "named, chosen",
    [
        ({}, "module"),  # of nvcc in PATH, which says where its toolkit is
        ({"CUDA_HOME": "{tmp}/other"}, "other"),
        ({"CUDA_HOME": "{tmp}/thirteen", "HOROVOD_CUDA_HOME": "{tmp}/other"}, "other"),
    ],
)
def test_the_toolkit_is_found(tmp_path, named, chosen):
    for name, version in (("module", "12.6"), ("other", "12.9"), ("thirteen", "13.0")):
        toolkit(tmp_path / name, version)
    program(tmp_path / "bin/nvcc", f'exec {tmp_path}/module/bin/nvcc "$@"')  # a wrapper
    done = call("find_cuda", tmp_path, **{k: v.format(tmp=tmp_path) for k, v in named.items()})
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path}/{chosen}\n", "")


def test_a_toolkit_that_does_not_take_this_compiler_is_refused(tmp_path):
    nvcc = toolkit(tmp_path / "cuda", "12.4") / "bin/nvcc"
    refuses = 'case "$*" in *-ccbin*) echo "unsupported GNU version" >&2; exit 1 ;; esac'
    program(nvcc, refuses + nvcc.read_text().removeprefix("#!/bin/sh"))
    program(tmp_path / "bin/g++", "echo g++ 14.2.0")
    done = call("try_nvcc", tmp_path, **GPUS, CUDA_HOME=str(tmp_path / "cuda"))
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert said[0] == "unsupported GNU version"  # its own words, and what to do
    assert f"CUDA 12.4 in {tmp_path}/cuda does not compile with g++ 14.2.0; name an" in said[1]
