"""What is set before the libraries start, and which GPU a rank takes; the GPUs are pretended."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from support import launch

from cosmodeep_hpc.parallel import environment, runtime
from cosmodeep_hpc.parallel.world import alone


class Devices:
    """TensorFlow's list of GPUs, and what was asked of it."""

    def __init__(self, *gpus):
        self.gpus, self.visible, self.growing = list(gpus), None, []
        self.config = self.experimental = self

    def list_physical_devices(self, kind):
        return self.gpus if kind == "GPU" else ["cpu"]

    def set_visible_devices(self, device, kind):
        assert kind == "GPU"
        self.visible = device

    def set_memory_growth(self, device, on):
        assert on and device == self.visible  # of one that is hidden it is an error
        self.growing.append(device)


@pytest.mark.parametrize(
    "gpus, local_rank, taken",
    [
        (["a", "b", "c", "d"], 0, "a"),
        (["a", "b", "c", "d"], 3, "d"),
        (["c"], 2, "c"),  # the batch system shows each rank its own
        (["a", "b"], 3, "b"),  # more ranks than GPUs: in turn
        ([], 0, None),
    ],
)
def test_one_gpu_a_rank(gpus, local_rank, taken):
    tf = Devices(*gpus)
    assert runtime.take_gpu(tf, SimpleNamespace(local_rank=local_rank)) == taken
    assert tf.visible == taken
    assert tf.growing == [gpu for gpu in [taken] if gpu]


@pytest.mark.parametrize(
    "device, hidden, expected",
    [(True, None, True), (True, "0,1", True), (True, "-1", False), (True, "", False),
     (True, "NoDevFiles", False), (False, None, False)],
)  # fmt: skip
def test_waiting_ranks_yield_where_there_is_no_gpu(monkeypatch, tmp_path, device, hidden, expected):
    """On GPU nodes the ranks have cores to spare, and yielding would only delay them."""
    if device:
        (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.delenv("OMPI_MCA_mpi_yield_when_idle", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    environment.before_mpi(tmp_path)
    assert ("OMPI_MCA_mpi_yield_when_idle" in os.environ) is not expected


def test_training_has_the_settings_of_its_networks(tf, world):
    """Whatever keras.json lies in a user's home."""
    import keras

    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    runtime.start_tensorflow(world)
    assert (keras.config.floatx(), keras.config.image_data_format()) == ("float32", "channels_last")


class Jax:
    """JAX's configuration, as asked for."""

    def __init__(self):
        self.config, self.asked = self, {}

    def update(self, name, value):
        self.asked[name] = value


@pytest.mark.parametrize(
    "shown, local_rank, taken",
    [(None, 3, "1"), ("0,1,2,3", 2, "2"), ("7", 2, "0"), ("0,1", 3, "1"), ("", 0, None),
     ("-1", 0, None)],
)  # fmt: skip
def test_jax_takes_one_gpu_a_rank(monkeypatch, tmp_path, shown, local_rank, taken):
    """Two GPUs on the node where the batch system says nothing; else those it shows."""
    jax, own = Jax(), {0, 1}
    monkeypatch.setitem(sys.modules, "jax", jax)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in ("NPROC", "CUDA_VISIBLE_DEVICES", *runtime.THREADS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: own)
    node = SimpleNamespace(allgather=lambda mine: [mine, mine])  # two ranks share two cores
    runtime.start_jax(SimpleNamespace(local_rank=local_rank, node=node), tmp_path)
    assert jax.asked.get("jax_cuda_visible_devices") == taken
    assert jax.asked.get("jax_rocm_visible_devices") == taken
    kept = None if taken is None else str(tmp_path / "cosmodeep" / "jax")
    assert jax.asked.get("jax_compilation_cache_dir") == kept
    assert os.environ["NPROC"] == "1"
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


@pytest.mark.parametrize(
    "environ, folder",
    [
        ({"HOME": "/home/a"}, "/home/a/.cache/cosmodeep/jax"),
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "/scratch"}, "/scratch/cosmodeep/jax"),
        ({"HOME": "/home/a", "JAX_COMPILATION_CACHE_DIR": "/own"}, None),  # JAX reads it
        ({"HOME": "", "XDG_CACHE_HOME": ""}, None),
    ],
)
def test_what_is_compiled_for_gpus_is_kept_where_a_user_has_room(monkeypatch, environ, folder):
    monkeypatch.setattr(os, "environ", environ)
    found = runtime.compiled_for_gpus()
    assert (None if found is None else str(found)) == folder


@pytest.mark.parametrize(
    "environ, cores",
    [
        ({}, 4),
        ({"OMP_NUM_THREADS": "1"}, 1),  # of the site
        ({"OMP_NUM_THREADS": "3,1"}, 3),  # a level inside another
        ({"OMP_NUM_THREADS": "2", "TF_NUM_INTRAOP_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "2", "SLURM_CPUS_PER_TASK": "3"}, 2),
        ({"SLURM_CPUS_PER_TASK": "3"}, 3),
        ({"OMP_NUM_THREADS": "0"}, 4),
        ({"OMP_NUM_THREADS": "many"}, 4),
    ],
)
def test_a_rank_keeps_to_the_threads_it_is_given(monkeypatch, environ, cores):
    """Four cores of its own, where nobody says anything."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    for name in runtime.THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert runtime.cores_of_rank(alone()) == cores


TWICE = """
import os
import numpy as np
from cosmodeep_hpc.parallel import environment, runtime
from cosmodeep_hpc.config.learn import Model
from cosmodeep_hpc.learn import network
from cosmodeep_hpc.learn.allreduce import Allreduce
from cosmodeep_hpc.learn.batch import PaperBatch
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.parallel.world import open_world

world = open_world()
tf = runtime.start_tensorflow(world, deterministic=True)
from tensorflow.python.framework import config
assert config.is_op_determinism_enabled()
print(os.environ["NCCL_ALGO"], os.environ["HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"])
random = np.random.default_rng(1)
tiles = random.normal(size=(13, 40, 40)).astype(np.float32)
signal, keep = random.random(13) < 0.5, np.ones((13, network.HIDDEN_UNITS), np.float32)
part = PaperBatch(tiles=tiles, signal=signal, keep=keep)
for head in ("pyramid", "flatten"):
    held = []
    for _ in range(2):
        net = network.build(Model(head=head), 40, 1)
        step = Step(tf, net, 1e-4, Allreduce(world))
        losses = [step.train(part, 13)[0] for _ in range(3)]
        assert losses[-1] < losses[0]
        held.append([w.tobytes() for w in net.get_weights()])
    assert held[0] == held[1]
print("the same bits")
"""


def test_deterministic_operations_train_both_heads_to_the_same_bits():
    """Some operations have no deterministic form and say so: none of ours. A user's choice wins."""
    env = {k: v for k, v in launch.environment().items() if not k.startswith(("HOROVOD_", "NCCL_"))}
    env["HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"] = "17"
    job = subprocess.run(
        [sys.executable, "-c", TWICE], env=env, capture_output=True, text=True, timeout=300
    )
    assert job.returncode == 0, job.stderr
    assert job.stdout.split("\n")[:2] == ["Ring 17", "the same bits"]
