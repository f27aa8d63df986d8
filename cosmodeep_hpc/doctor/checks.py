"""`cosmodeep doctor`: checks whether this installation can run on this machine and in this job.

Every check is a pure function of the facts, so that each fault can be tested on any machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from cosmodeep_hpc.doctor.probe import Environment, gather
from cosmodeep_hpc.io.messages import print_result
from cosmodeep_hpc.parallel.launcher import launched
from cosmodeep_hpc.parallel.world import open_world

_SET_UP = "run `make env` again; its logs are in .venv/log"
_EXTRA = "pip install 'cosmodeep_hpc[{}]'"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        level: "ok"; "note" for what costs speed or comfort, or is absent and not needed;
            "fault" for what will not work.
        subject: such as "MPI".
        found: what was found.
        advice: what to do about it, in one line; empty for "ok".
    """

    level: Literal["ok", "note", "fault"]
    subject: str
    found: str
    advice: str = ""


def check_mpi(facts: Environment) -> Iterator[Finding]:
    """Check MPI itself, its threads, and that the process has only one MPI."""
    if facts.mpi.missing or facts.mpi.error:
        found = "not installed" if facts.mpi.missing else facts.mpi.error
        advice = _EXTRA.format("mpi")
        if facts.mpi.error:
            advice = f"load your site's MPI module, or {_SET_UP}"
        yield Finding(
            "fault" if facts.has_ranks else "note",
            "MPI",
            f"{found}; needed for several ranks",
            advice,
        )
        return
    yield Finding("ok", "MPI", f"{facts.mpi.version}, thread level {facts.mpi.thread_level}")
    if facts.mpi.thread_level != "MULTIPLE":
        yield Finding(
            "fault",
            "MPI threads",
            f"thread level {facts.mpi.thread_level}: Horovod and mpi4py may block each other",
            "use an MPI built with thread support, and leave mpi4py.rc.threads alone",
        )
    if len(facts.mpi.libraries) > 1:
        yield Finding(
            "fault",
            "MPI libraries",
            f"{len(facts.mpi.libraries)} in one process: {', '.join(facts.mpi.libraries)}",
            "build a parallel h5py with the mpicc of the first, which mpi4py loads",
        )


def check_launch(facts: Environment) -> Iterator[Finding]:
    """Compare the ranks with the number that the launcher says it started."""
    launch = launched(facts.environ)
    launcher, tasks = launch.program, launch.tasks
    size = len(facts.ranks)
    lonely = size == 1 and bool(facts.mpi.version)
    if lonely and tasks is not None and tasks > 1:
        offer = offered_pmi(facts.environ)
        told = f", though they were offered {offer}" if offer else ""
        found = f"{launcher} started {tasks} tasks, but each is an MPI world of 1{told}"
        yield Finding("fault", "launch", found, advise_launch(facts, launcher, offer))
    elif lonely and tasks is None:
        yield Finding(
            "note",
            "launch",
            f"task {launch.task} of {launcher} that does not say how many it started; this MPI "
            "world has 1",
            f"if you asked for more, {facts.mpi.version} does not find them: use its own mpirun",
        )
    nodes = [
        f"{host} {', '.join(str(rank.rank) for rank in group)}"
        for host, group in groupby(facts.ranks, key=lambda rank: rank.host)
    ]
    by = f" by {launcher}" if launcher else ""
    yield Finding("ok", "ranks", f"{size}{by}; node and its ranks: {'; '.join(nodes)}")
    allowed = all(
        facts.environ.get(name) == "1"
        for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")
    )
    if (
        facts.is_root
        and launcher != "srun"
        and facts.mpi.version.startswith("Open MPI")
        and not allowed
    ):
        yield Finding(
            "fault",
            "root",
            "you are root, and Open MPI's mpirun refuses to start for root",
            "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
        )


def offered_pmi(environ: Mapping[str, str]) -> str:
    """Return the interface by which the launcher lets tasks find each other; empty for none."""
    for name, offer in (("PMIX_RANK", "PMIx"), ("PMI_FD", "PMI-2"), ("PMI_RANK", "PMI")):
        if name in environ:
            return offer
    return ""


def advise_launch(facts: Environment, launcher: str, offer: str) -> str:
    """Say what to do if a launcher's tasks do not find each other."""
    image = "in the image " if facts.container else ""
    if launcher != "srun":
        if facts.container:
            return (
                f"mpirun outside is another MPI's than {facts.mpi.version} in the image: use one "
                "of the same family, or build the image with MPI= (docs/containers.md)"
            )
        return f"mpirun is another MPI's: put the bin folder of {facts.mpi.version} first in PATH"
    words = f" (offered here: {', '.join(facts.slurm_mpi)})" if facts.slurm_mpi else ""
    if "MPICH" in facts.mpi.version and offer == "PMIx":
        return f"{facts.mpi.version} {image}speaks PMI-2: try srun --mpi=pmi2{words}, or mpirun"
    if offer == "PMIx":
        return (
            f"{facts.mpi.version} {image}and Slurm speak different PMIx: export PMIX_MCA_gds=hash, "
            f"or try another srun --mpi=pmix_vN{words}, or mpirun"
        )
    return f"srun and MPI {image}speak different PMI: try srun --mpi=pmix{words}, or mpirun"


def check_horovod(facts: Environment) -> Iterator[Finding]:
    """Check Horovod, and that it was built for this job's network and devices."""
    if facts.horovod.missing or facts.horovod.error:
        what = "not installed" if facts.horovod.missing else facts.horovod.error
        yield Finding(
            "note",
            "Horovod",
            f"{what}: gradients are summed by MPI, on GPUs through the host's memory",
            "`make env`, in a clone of cosmodeep_hpc, builds it",
        )
        return
    built = {"MPI": facts.horovod.mpi, "Gloo": facts.horovod.gloo, "NCCL": facts.horovod.nccl}
    listed = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in built.items())
    yield Finding("ok", "Horovod", f"{facts.horovod.version}; built with {listed}")
    if facts.horovod.libraries:
        needed = facts.has_gpus and facts.horovod.nccl  # else MPI sums, and Horovod is not loaded
        yield Finding(
            "fault" if needed else "note",
            "Horovod MPI",
            f"built with another MPI than mpi4py's: {', '.join(facts.horovod.libraries)}",
            "set train.sums = mpi, or build Horovod with the mpicc of mpi4py's MPI: `make env`",
        )
    if not facts.horovod.mpi:
        yield Finding(
            "fault",
            "Horovod MPI",
            "built without MPI: with train.sums = horovod each rank would train alone",
            "put mpicc in PATH, remove .venv/.horovod and .venv/.ready, and run `make env`",
        )
    if facts.has_gpus and not facts.horovod.nccl:
        yield Finding(
            "note",
            "Horovod NCCL",
            "built without NCCL: gradients of GPUs are summed by MPI, through the host's memory",
            "load CUDA and NCCL, then HOROVOD_GPU_OPERATIONS=NCCL make env",
        )


def check_tensorflow(facts: Environment) -> Iterator[Finding]:
    """Check TensorFlow, and that it uses the node's devices."""
    if facts.tensorflow.missing:
        wanted = facts.environ.get("COSMODEEP_ENGINE") == "keras"
        yield Finding(
            "fault" if wanted else "note",
            "TensorFlow",
            "not installed: needed for training and by COSMODEEP_ENGINE=keras",
            _EXTRA.format("train"),
        )
        return
    if facts.tensorflow.error:
        yield Finding("fault", "TensorFlow", facts.tensorflow.error, _SET_UP)
        return
    kind = "GPU" if facts.tensorflow.gpu else "CPU"
    state = "on" if facts.tensorflow.onednn else "off"
    yield Finding("ok", "TensorFlow", f"{facts.tensorflow.version} for {kind}, oneDNN {state}")
    if facts.has_gpus and not facts.tensorflow.gpu:
        yield Finding(
            "fault",
            "TensorFlow GPU",
            "a node with GPUs, but a TensorFlow for CPUs",
            "COSMODEEP_TENSORFLOW='tensorflow[and-cuda]' make env; AMD: your site's own",
        )
    if not facts.has_gpus and not facts.tensorflow.onednn:
        yield Finding(
            "note",
            "oneDNN",
            "off: mixed precision, and networks other than ours, take up to twice as long on CPUs",
            "export TF_ENABLE_ONEDNN_OPTS=1",
        )


def check_hdf5(facts: Environment) -> Iterator[Finding]:
    """Check the HDF5 under h5py."""
    if facts.hdf5.error:
        yield Finding("fault", "HDF5", facts.hdf5.error, _SET_UP)
        return
    kind = "parallel" if facts.hdf5.parallel else "serial (enough: every rank reads on its own)"
    yield Finding("ok", "HDF5", f"{facts.hdf5.loaded} with h5py {facts.hdf5.version}, {kind}")
    if facts.hdf5.built != facts.hdf5.loaded:
        yield Finding(
            "fault",
            "HDF5 clash",
            f"h5py was built against HDF5 {facts.hdf5.built}, but runs with {facts.hdf5.loaded}",
            "module unload hdf5 (or clear LD_LIBRARY_PATH of it), or rebuild h5py against it",
        )


def check_loops(facts: Environment) -> Iterator[Finding]:
    """Check numba, and where its compiled loops are kept for the next process."""
    if facts.loops.error:
        yield Finding("fault", "numba", facts.loops.error, _SET_UP)
        return
    kept = f"; loops are compiled once, kept in {facts.loops.folder}" * bool(facts.loops.folder)
    yield Finding("ok", "numba", facts.loops.version + kept)
    if not facts.loops.folder:
        yield Finding(
            "note",
            "numba",
            "every rank compiles its loops anew, 10 to 30 s a job: no folder to keep them in",
            "export NUMBA_CACHE_DIR=FOLDER, one you may write to",
        )


def check_gpus(facts: Environment) -> Iterator[Finding]:
    """Check which rank computes on which GPU."""
    if not facts.has_gpus:
        yield Finding("ok", "GPUs", "none")
        return
    for rank in facts.ranks:
        yield Finding("ok", "GPU", f"{rank.host} rank {rank.rank}: {rank.gpu or 'none'}")
    blind = [rank.rank for rank in facts.ranks if not rank.gpus]
    if blind:
        yield Finding(
            "fault",
            "GPUs",
            f"ranks {', '.join(map(str, blind))} see no GPU, while others do",
            "give every task one: srun --gpus-per-task=1, or --gres=gpu:N with N tasks a node",
        )
    used = [(rank.host, rank.gpu) for rank in facts.ranks if rank.gpus]
    if len(set(used)) < len(used):
        yield Finding(
            "fault",
            "GPUs",
            f"{len(used)} ranks share {len(set(used))} GPUs",
            "start one rank a GPU: srun --ntasks-per-node=N, or mpirun --map-by ppr:N:node",
        )


def check_slurm(facts: Environment) -> Iterator[Finding]:
    """Check the Slurm job, if this is one."""
    job = facts.environ.get("SLURM_JOB_ID")
    if job is None:
        found = "not in a job" if facts.slurm_mpi else "none here"
    else:
        tasks, nodes = (
            facts.environ.get(f"SLURM_{name}", "?") for name in ("NTASKS", "JOB_NUM_NODES")
        )
        found = f"job {job}: tasks {tasks}, nodes {nodes}"
    offered = f"; srun --mpi offers {', '.join(facts.slurm_mpi)}" if facts.slurm_mpi else ""
    yield Finding("ok", "Slurm", found + offered)


CHECKS = (
    check_mpi,
    check_launch,
    check_horovod,
    check_tensorflow,
    check_hdf5,
    check_loops,
    check_gpus,
    check_slurm,
)


def examine(facts: Environment) -> list[Finding]:
    """Return all findings, in the order of the table."""
    return [finding for check in CHECKS for finding in check(facts)]


def diagnose() -> list[Finding]:
    """Gather the facts of all ranks and check them; a collective call, the same on every rank."""
    facts = gather()
    findings = examine(facts) if facts is not None else []
    if facts is not None and not facts.mpi.version:  # nothing joins the ranks
        return findings
    return open_world().on_root(lambda: findings)


def table(findings: list[Finding]) -> str:
    """Return the findings as text; the advice stands under a note or a fault."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        mark = "FAULT" if finding.level == "fault" else finding.level
        lines.append(f"{mark:5}  {finding.subject:{width}}  {finding.found}")
        if finding.advice:
            lines.append(f"{'':5}  {'':{width}}  -> {finding.advice}")
    faults = sum(finding.level == "fault" for finding in findings)
    lines.append("no fault found" if not faults else f"faults found: {faults}")
    return "\n".join(lines)


def run() -> int:
    """Print the table once for the whole job; return 0 if all is right, 1 if there is a fault."""
    findings = diagnose()
    if _speaks():
        print_result(table(findings))
    return int(any(finding.level == "fault" for finding in findings))


def _speaks() -> bool:
    """Return whether this process is the first of its job, even if its ranks share no world."""
    try:
        world = open_world()
    except Exception:  # without MPI, which a check has reported by now
        return launched(os.environ).task == 0
    return world.rank == 0 and (world.size > 1 or launched(os.environ).task == 0)
