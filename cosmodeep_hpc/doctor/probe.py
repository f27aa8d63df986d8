"""The facts that `cosmodeep doctor` checks, as plain data: libraries, ranks, GPUs and job.

Only this module imports libraries and runs commands; `checks` decides what the facts mean.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

from cosmodeep_hpc.parallel.environment import before_mpi
from cosmodeep_hpc.parallel.gpus import VARIABLES, named_gpus
from cosmodeep_hpc.parallel.launcher import launched
from cosmodeep_hpc.parallel.runtime import start_tensorflow
from cosmodeep_hpc.parallel.world import World, alone, open_world

MPI_SECONDS = 60.0
"""How long MPI may take to start one rank."""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One rank and where it runs.

    Attributes:
        rank: its number in the MPI world.
        host: the node's name.
        local_rank: its number on its node, which is the number of its GPU.
        gpus: the GPUs it may use, as "NAME (UUID)".
    """

    rank: int
    host: str
    local_rank: int
    gpus: tuple[str, ...] = ()

    @property
    def gpu(self) -> str:
        """GPU that this rank computes on; empty without any."""
        return self.gpus[self.local_rank % len(self.gpus)] if self.gpus else ""


@dataclass(frozen=True, kw_only=True)
class Mpi:
    """The MPI library of this process.

    Attributes:
        missing: whether it is not installed; the libraries below have it too, as they have `error`.
        error: why it could not be used; the rest is then empty.
        version: its name and version, such as "Open MPI 4.1.4".
        thread_level: "SINGLE", "FUNNELED", "SERIALIZED" or "MULTIPLE".
        libraries: the paths of every MPI library in this process; more than one is a fault.
    """

    missing: bool = False
    error: str = ""
    version: str = ""
    thread_level: str = ""
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Horovod:
    """Horovod and its build options.

    Attributes:
        libraries: MPI libraries that it brings into the process beside mpi4py's.
    """

    missing: bool = False
    error: str = ""
    version: str = ""
    mpi: bool = False
    gloo: bool = False
    nccl: bool = False
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TensorFlow:
    """TensorFlow, whether it was built for GPUs (CUDA or ROCm), and whether it uses oneDNN."""

    missing: bool = False
    error: str = ""
    version: str = ""
    gpu: bool = False
    onednn: bool = False


@dataclass(frozen=True, kw_only=True)
class Hdf5:
    """h5py, the HDF5 it was built against and runs with, and whether it has the parallel driver."""

    error: str = ""
    version: str = ""
    built: str = ""
    loaded: str = ""
    parallel: bool = False


@dataclass(frozen=True, kw_only=True)
class Loops:
    """numba, and the folder that keeps its compiled loops; empty if there is none."""

    error: str = ""
    version: str = ""
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The facts of the installation and the job.

    Attributes:
        environ: the environment variables.
        is_root: whether the user is root.
        ranks: every rank of the MPI world.
        mpi, horovod, tensorflow, hdf5, loops: the libraries.
        slurm_mpi: the interfaces that `srun --mpi=list` offers.
    """

    environ: Mapping[str, str]
    is_root: bool
    ranks: tuple[Rank, ...]
    mpi: Mpi
    horovod: Horovod
    tensorflow: TensorFlow
    hdf5: Hdf5
    loops: Loops
    slurm_mpi: tuple[str, ...] = ()

    @property
    def container(self) -> str:
        """Image that this runs in, as Apptainer names it; empty outside of any."""
        names = ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER")
        return next((self.environ[name] for name in names if name in self.environ), "")

    @property
    def has_ranks(self) -> bool:
        """Whether there are several ranks, by MPI or by the launcher."""
        return len(self.ranks) > 1 or launched(self.environ).tasks != 1

    @property
    def has_gpus(self) -> bool:
        """Whether any rank may use a GPU."""
        return any(rank.gpus for rank in self.ranks)


def nvidia_gpus(listing: str) -> list[tuple[str, str]]:
    """Return name and UUID of each GPU that `nvidia-smi -L` lists."""
    return re.findall(r"^GPU \d+: (.+?) \(UUID: ([\w-]+)\)", listing, flags=re.MULTILINE)


def amd_gpus(listing: str) -> list[tuple[str, str]]:
    """Return name and identifier of each GPU of `rocm-smi --showproductname --showuniqueid --csv`.

    The identifier is GPU- and 16 digits, as in ROCR_VISIBLE_DEVICES.
    """
    found = []
    for row in csv.DictReader(listing.strip().splitlines()):
        kind = (row.get(name) for name in ("Card Series", "Card series", "Card Model"))
        unique = (row.get("Unique ID") or "").removeprefix("0x")
        found.append((next(filter(None, kind), "AMD GPU"), f"GPU-{unique or row.get('device')}"))
    return found


def visible_gpus(gpus: Sequence[tuple[str, str]], shown: str | None) -> tuple[str, ...]:
    """Return the GPUs that a variable such as CUDA_VISIBLE_DEVICES leaves, in its order.

    It names them by number or by the beginning of their identifier.
    """
    named = [f"{name} ({identifier})" for name, identifier in gpus]
    words = named_gpus(shown)
    if words is None:
        return tuple(named)
    chosen = []
    for word in words:
        matches = [n for i, n in enumerate(named) if word == str(i) or gpus[i][1].startswith(word)]
        if not matches:
            break  # CUDA too ignores all devices after an unknown one
        chosen.append(matches[0])
    return tuple(chosen)


def _gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use."""
    gpus, maker = nvidia_gpus(_output("nvidia-smi", "-L")), "nvidia"
    if not gpus:
        words = ("rocm-smi", "--showproductname", "--showuniqueid", "--csv")
        gpus, maker = amd_gpus(_output(*words)), "amd"
    shown = (os.environ.get(name) for name in VARIABLES[maker])
    return visible_gpus(gpus, next((value for value in shown if value is not None), None))


def _output(*command: str) -> str:
    """Return the output of a command; empty if it is missing, fails or hangs."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr if done.returncode == 0 else ""


def _loaded_mpi_libraries() -> tuple[str, ...]:
    """Return the MPI libraries mapped into this process, in the order of their first mapping."""
    try:
        with open("/proc/self/maps") as maps:
            paths = [line.split(maxsplit=5)[-1].strip() for line in maps]
    except OSError:
        return ()
    mpi = re.compile(r"/lib(mpi|mpich|mpi_cray|mpi_gnu_\d+)(-\w+)?\.so[.\d]*$")
    return tuple(dict.fromkeys(os.path.realpath(path) for path in paths if mpi.search(path)))


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().split("\n", 1)[0]


def _horovod() -> Horovod:
    if find_spec("horovod") is None:
        return Horovod(missing=True)
    try:
        import horovod
        import horovod.tensorflow as hvd

        return Horovod(
            version=horovod.__version__,
            mpi=bool(hvd.mpi_built()),
            gloo=bool(hvd.gloo_built()),
            nccl=bool(hvd.nccl_built()),
        )
    except Exception as error:  # a broken build fails in many ways; each is the finding
        return Horovod(error=_one_line(error))


def _tensorflow(world: World) -> TensorFlow:
    """Start TensorFlow as training does, and return the facts about it; a collective call."""
    if find_spec("tensorflow") is None:
        return TensorFlow(missing=True)
    try:
        tf = start_tensorflow(world)
        from tensorflow.python.util._pywrap_util_port import IsMklEnabled

        return TensorFlow(
            version=tf.__version__,
            gpu=bool(tf.test.is_built_with_gpu_support()),
            onednn=bool(IsMklEnabled()),
        )
    except Exception as error:  # likewise
        return TensorFlow(error=_one_line(error))


def _hdf5() -> Hdf5:
    try:
        import h5py

        return Hdf5(
            version=h5py.__version__,
            built=".".join(map(str, h5py.version.hdf5_built_version_tuple)),
            loaded=".".join(map(str, h5py.version.hdf5_version_tuple)),
            parallel=bool(h5py.get_config().mpi),
        )
    except Exception as error:  # likewise
        return Hdf5(error=_one_line(error))


def _loops() -> Loops:
    try:
        import numba

        from cosmodeep_hpc.tiles.noise import have_data

        folder = have_data.stats.cache_path  # type: ignore[attr-defined]
        return Loops(version=numba.__version__, folder=folder or "")
    except Exception as error:  # likewise
        return Loops(error=_one_line(error))


def _facts(ranks: tuple[Rank, ...], mpi: Mpi, tensorflow: TensorFlow) -> Environment:
    """Return the facts of this process, and those of every rank."""
    hdf5, before = _hdf5(), _loaded_mpi_libraries()
    horovod = _horovod()
    known = dict.fromkeys((*mpi.libraries, *before))
    brought = tuple(path for path in _loaded_mpi_libraries() if mpi.libraries and path not in known)
    plugins = re.findall(r"^\s*([\w-]+)$", _output("srun", "--mpi=list"), flags=re.MULTILINE)
    return Environment(
        environ=dict(os.environ),
        is_root=os.geteuid() == 0,
        ranks=ranks,
        mpi=replace(mpi, libraries=tuple(known)),
        horovod=replace(horovod, libraries=brought),
        tensorflow=tensorflow,
        hdf5=hdf5,
        loops=_loops(),
        slurm_mpi=tuple(plugins),
    )


def started_mpi() -> Mpi:
    """Return the facts about MPI as it starts in this process."""
    from mpi4py import MPI

    vendor, version = MPI.get_vendor()
    levels = ("SINGLE", "FUNNELED", "SERIALIZED", "MULTIPLE")
    return Mpi(
        version=f"{vendor} {'.'.join(map(str, version))}",
        thread_level={getattr(MPI, f"THREAD_{name}"): name for name in levels}[MPI.Query_thread()],
        libraries=_loaded_mpi_libraries(),
    )


def _mpi_of_one_rank() -> Mpi:
    """Return the facts about MPI in another process, which MPI may end: one rank needs none."""
    code = (
        "import dataclasses, json; from cosmodeep_hpc.doctor.probe import started_mpi\n"
        "print(json.dumps(dataclasses.asdict(started_mpi())))"
    )
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MPI_SECONDS)
    except subprocess.TimeoutExpired:
        return Mpi(error=f"it does not start within {MPI_SECONDS:.0f} s")
    if done.returncode == 0:
        found = json.loads(done.stdout.splitlines()[-1])
        return Mpi(**found | {"libraries": tuple(found["libraries"])})
    said = [line for line in done.stderr.splitlines() if line.strip("- ")]
    if "Traceback" in done.stderr:
        return Mpi(error=said[-1])
    # Open MPI's explanation, below lines of its parts, which begin with [host:process]
    reason = " ".join([line for line in said if not line.startswith("[")][:2])
    return Mpi(error=f"it ends its process, status {done.returncode}: {reason}")


def _mpi() -> Mpi:
    """Return the facts about the MPI that joins the ranks, or would join several."""
    if find_spec("mpi4py") is None:
        return Mpi(missing=True)
    if launched(os.environ).tasks == 1 and "mpi4py.MPI" not in sys.modules:
        return _mpi_of_one_rank()
    try:
        return started_mpi()
    except Exception as error:  # likewise
        return Mpi(error=_one_line(error))


def gather() -> Environment | None:
    """Return the facts of the job on rank 0, None on the others; a collective call.

    Ranks that MPI does not join return facts of their own.
    """
    before_mpi()
    rank = Rank(rank=0, host=os.uname().nodename, local_rank=0, gpus=_gpus())
    mpi = _mpi()
    world = alone() if mpi.missing or mpi.error else open_world()
    tensorflow = _tensorflow(world)
    ranks = world.comm.gather(replace(rank, rank=world.rank, local_rank=world.local_rank))
    return None if ranks is None else _facts(tuple(ranks), mpi, tensorflow)
