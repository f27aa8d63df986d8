"""The GPUs of a node that a job may use, by what its devices and its environment say."""

import pytest

from cosmodeep_hpc.parallel.gpus import VARIABLES, count_gpus, named_gpus

NVIDIA = ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm")
AMD = ("kfd", "dri/card0", "dri/renderD128", "dri/renderD129", "dri/renderD130")
DISPLAY = ("dri/card0", "dri/renderD128")  # a graphics card that computes nothing


@pytest.mark.parametrize(
    "shown, named",
    [
        (None, None),
        ("all", None),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("none", []),
        ("0", ["0"]),
        ("0,1", ["0", "1"]),
        ("1, 0", ["1", "0"]),
        ("0,-1,1", ["0"]),
        ("GPU-8f3b,GPU-11ac", ["GPU-8f3b", "GPU-11ac"]),
        ("MIG-GPU-8f/1/0", ["MIG-GPU-8f/1/0"]),
    ],
)
def test_all_spellings(shown, named):
    assert named_gpus(shown) == named


@pytest.mark.parametrize(
    "devices, environ, count",
    [
        ((), {}, 0),
        (DISPLAY, {}, 0),
        (NVIDIA, {}, 2),
        (NVIDIA, {"CUDA_VISIBLE_DEVICES": "1"}, 1),
        (NVIDIA, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 0),
        (NVIDIA, {"ROCR_VISIBLE_DEVICES": "0"}, 2),  # another maker's
        (AMD, {}, 3),
        (AMD, {"ROCR_VISIBLE_DEVICES": "0,2"}, 2),
        (AMD, {"HIP_VISIBLE_DEVICES": "0"}, 1),
        (AMD, {"CUDA_VISIBLE_DEVICES": ""}, 0),
        ((), {"CUDA_VISIBLE_DEVICES": "0"}, 0),
    ],
)
def test_the_gpus_of_a_node(devices, environ, count, tmp_path, monkeypatch):
    for names in VARIABLES.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for name in devices:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert count_gpus(tmp_path) == count
