"""A throw-away Slurm cluster on one machine: real daemons, each node in namespaces of its own.

    python tests/slurm/cluster.py [COMMAND ...]    a cluster around COMMAND, or around a shell

It needs root, Slurm and munge. Nothing outside its own folder is written and nothing but loopback
is listened on. A node has its own host name, so that MPI takes it for a separate machine, and its
own process numbers: to kill the first process of a node is to cut its power. All daemons end with
the process that started the cluster, however that ends.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from installation import missing, namespaces

OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY"}

SLURM_CONF = """\
ClusterName=throwaway
SlurmUser=root
SlurmdUser=root
# loopback only, on ports of its own
SlurmctldHost=head(127.0.0.1)
SlurmctldPort={port}
SrunPortRange={srun_first}-{srun_last}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
CredType=cred/munge
# every file in its own folder
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
# no cgroups and no binding: these need rights that root in a container lacks
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
# nodes claim what the tests ask for, not what the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# seconds, where a cluster takes minutes
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=2
CompleteWait=0
MinJobAge=600
ReturnToService=2
JobRequeue=1
PropagateResourceLimits=NONE
GresTypes=gpu
NodeName=node[1-{nodes}] NodeAddr=127.0.0.1 Port={first}-{last} CPUs={cpus} Gres=gpu:{gpus}
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

# The first process of a namespace takes in what others leave behind, hence no exec of the daemon.
# Open MPI names its shared memory after host, user and job: job 1 on node1 of another cluster on
# this machine would write into ours, and both end in a segmentation fault. Hence a /dev/shm each.
CELL = """\
set -e
hostname "$1"
mount --bind "$0/hosts" /etc/hosts
mount --bind "$0/private-$1" "$0/private"
mount -t tmpfs shm /dev/shm
shift
"$@" &
wait $!
"""


class ClusterError(Exception):
    """The cluster, or a job in it, did not do what was asked, with the logs that say why."""


@dataclass(frozen=True)
class Job:
    """A job that ended: Slurm's word for how, its exit status, its number of requeues, its log."""

    state: str
    status: int
    restarts: int
    log: str


@dataclass
class Cluster:
    """A running cluster; a context manager.

    Attributes:
        nodes: number of nodes, called node1, node2, ...
        cpus: CPUs that a node claims. gpus: pretended GPUs of a node.
        folder: everything the cluster writes; removed when it stops.
    """

    nodes: int = 4
    cpus: int = 4
    gpus: int = 2
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="slurm-")))
    _cells: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Cluster:
        """Start it; every node is idle afterwards."""
        try:
            self._write_conf()
            socket_file, key = self.folder / "munge.sock", self.folder / "munge.key"
            key.write_bytes(secrets.token_bytes(1024))
            key.chmod(0o600)
            files = {
                "key-file": key,
                "socket": socket_file,
                "pid-file": self.folder / "munge.pid",
                "seed-file": self.folder / "munge.seed",
                "log-file": self.folder / "munge.log",
            }
            words = [f"--{name}={path}" for name, path in files.items()]
            self._start("munge", "munged", "--foreground", "--force", *words)
            self._wait(10, socket_file.exists, "munge has no socket")
            self._start("head", "slurmctld", "-D")
            for number in range(1, self.nodes + 1):
                self.start_node(number)
            self._wait(30, self._all_idle, "the nodes are not idle")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, with every job in it."""
        self.stop()

    def start_node(self, number: int) -> None:
        """Start node `number`."""
        self._start(f"node{number}", "slurmd", "-D", "-N", f"node{number}")

    def kill_node(self, number: int) -> None:
        """End all that runs on a node at once, like a power failure.

        Slurm finds out after 25 s; `mark_down` tells it.
        """
        self._kill(f"node{number}")

    def mark_down(self, number: int) -> None:
        """Tell Slurm that a node is lost; its jobs are requeued."""
        words = (f"nodename=node{number}", "state=down", "reason=lost")
        self.call("scontrol", "update", *words)

    def repair_node(self, number: int) -> None:
        """Start a lost node again; every node is idle afterwards."""
        self.start_node(number)
        self._wait(30, self._all_idle, "the nodes are not idle")

    def stop(self) -> None:
        """End every process of the cluster, and remove its folder."""
        for name in reversed(list(self._cells)):
            self._kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with this cluster, without other jobs, MPI on loopback."""
        foreign = re.compile(r"(SLURM|SBATCH|SRUN|OMPI|PMIX|PMI)_")
        own = {name: value for name, value in os.environ.items() if not foreign.match(name)}
        conf = str(self.folder / "etc/slurm.conf")
        scratch = {"OMPI_MCA_orte_tmpdir_base": str(self.folder / "private")}  # likewise
        return {**own, **scratch, "SLURM_CONF": conf, "OMPI_MCA_btl_tcp_if_include": "lo"}

    def call(self, *words: str, timeout: float = 30) -> str:
        """The output of a Slurm command.

        Raises:
            ClusterError: it failed or did not end.
        """
        try:
            done = subprocess.run(
                words, env=self.environment, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise ClusterError(f"{words[0]}: no answer in {timeout} s\n{self._logs()}") from None
        if done.returncode != 0:
            raise ClusterError(f"{' '.join(words)}: {done.stderr}\n{self._logs()}")
        return done.stdout

    def submit(
        self,
        words: Sequence[str | Path],
        *,
        log: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """`sbatch WORDS` (options, script, arguments) from a folder; the job's number."""
        done = subprocess.run(
            ["sbatch", "--parsable", f"--output={log}", *map(str, words)],
            env={**self.environment, **(environment or {})},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=30,
        )
        if done.returncode != 0:
            raise ClusterError(f"sbatch: {done.stderr}\n{self._logs()}")
        return done.stdout.strip()

    def wait(self, job: str, *, log: Path, timeout: float = 200) -> Job:
        """Wait until a job is over.

        Raises:
            ClusterError: it was not over in time; it is cancelled, and its log is in the error.
        """
        deadline = time.monotonic() + timeout
        while (shown := self._show(job))["JobState"] not in OVER:
            if time.monotonic() > deadline:
                self.call("scancel", job)
                raise ClusterError(
                    f"job {job} is {shown['JobState']} ({shown['Reason']}) after {timeout} s; "
                    f"its log:\n{_read(log)}\n{self._logs()}"
                )
            time.sleep(0.2)
        status, number = (int(part) for part in shown["ExitCode"].split(":"))
        return Job(
            state=shown["JobState"],
            status=status or (128 + number if number else 0),
            restarts=int(shown["Restarts"]),
            log=_read(log),
        )

    def release(self, job: str, timeout: float = 30) -> None:
        """Start a requeued job in seconds: Slurm holds it back for two minutes."""

        def released() -> bool:
            shown = self._show(job)
            if shown["JobState"] != "PENDING" or int(shown["Restarts"]) == 0:
                return False
            time.sleep(2)  # so that the new run's credential differs from the old one's
            self.call("scontrol", "update", f"jobid={job}", "StartTime=now")
            return True

        self._wait(timeout, released, f"job {job} was not requeued")

    def _show(self, job: str) -> dict[str, str]:
        for _ in range(4):
            with suppress(ClusterError):
                text = self.call("scontrol", "show", "job", "-o", job)
                break
            time.sleep(1)  # on a machine with much else to do munge may be too late
        else:
            text = self.call("scontrol", "show", "job", "-o", job)
        return dict(re.findall(r"(JobState|Reason|Restarts|ExitCode)=(\S+)", text))

    def _write_conf(self) -> None:
        names = [f"node{number}" for number in range(1, self.nodes + 1)]
        private = [f"private-{name}" for name in ("munge", "head", *names)]
        for name in ("etc", "log", "state", "private", *private):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        port = _free_ports(200)
        conf = SLURM_CONF.format(
            root=self.folder,
            port=port,
            first=port + 1,
            last=port + self.nodes,
            srun_first=port + 50,
            srun_last=port + 199,
            nodes=self.nodes,
            cpus=self.cpus,
            gpus=self.gpus,
        )
        gpus = f"NodeName=node[1-{self.nodes}] Name=gpu File=/dev/tty[1-{self.gpus}]"
        etc = self.folder / "etc"
        (etc / "slurm.conf").write_text(conf)
        (etc / "gres.conf").write_text(f"AutoDetect=off\n{gpus}\n")
        (etc / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # so that none is looked for
        # PMIx makes a folder of one name on each node: they must not meet in one /tmp
        (etc / "mpi.conf").write_text(f"PMIxCliTmpDirBase={self.folder}/private\n")
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost head munge {' '.join(names)}\n")

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"log/{name}").open("wb") as output:
            self._cells[name] = subprocess.Popen(
                [*namespaces(), "bash", "-c", CELL, str(self.folder), name, *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def _kill(self, name: str) -> None:
        """Kill a namespace's first process: it is gone when the kernel has ended all others."""
        cell = self._cells.pop(name, None)
        if cell is None:
            return
        children = Path(f"/proc/{cell.pid}/task/{cell.pid}/children")
        first = [int(word) for word in children.read_text().split()] if children.exists() else []
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        if not first:
            cell.kill()
        try:
            cell.wait(10)
        except subprocess.TimeoutExpired:
            raise ClusterError(f"{name}: processes do not end: {first}") from None

    def _wait(self, seconds: float, there: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + seconds
        while not there():
            if time.monotonic() > deadline:
                raise ClusterError(f"{complaint} after {seconds} s\n{self._logs()}")
            time.sleep(0.1)

    def _all_idle(self) -> bool:
        try:
            states = self.call("sinfo", "-h", "-N", "-o", "%T", timeout=10).split()
        except ClusterError:  # not up yet
            return False
        return states == ["idle"] * self.nodes

    def _logs(self) -> str:
        """The last lines of every daemon."""
        files = sorted((self.folder / "log").glob("*"))
        return "\n".join(f"--- {file.name}\n{_read(file, 10)}" for file in files if _read(file))


def _read(file: Path, lines: int = 200) -> str:
    """The last lines of a file that may not be there."""
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on, below those given to clients."""
    for _ in range(100):
        first = random.SystemRandom().randrange(15000, 32000 - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise ClusterError(f"no {count} free ports in a row")


def main(command: Sequence[str]) -> int:
    """Run a command, or a shell, with a cluster around it."""
    reason = missing()
    if reason:
        print(f"cluster.py: {reason}", file=sys.stderr)
        return 2
    with Cluster() as cluster:
        return subprocess.run(list(command) or ["bash"], env=cluster.environment).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
