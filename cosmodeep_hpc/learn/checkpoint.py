"""Checkpoints: the state of a run in one HDF5 file, whole or not there."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.files import make_folder, replacing_hdf5

FOLDER = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a run stands: its variables and a few integers.

    Attributes:
        epoch: epoch to go on in. step: global batches done in it. total_steps: done in all.
        recipe: hash of the configuration and tile set that the run began with.
        weights, optimizer: values of the network's and of the optimizer's variables, in order.
    """

    epoch: int
    step: int
    total_steps: int
    recipe: str
    weights: Sequence[NDArray[np.float32]]
    optimizer: Sequence[NDArray[np.float32]]


def write(run: Path, state: State, keep: int) -> Path:
    """Write a checkpoint of a run folder, and delete all but the newest `keep`."""
    folder = run / FOLDER
    make_folder(folder)
    path = folder / f"step-{state.total_steps:08d}.h5"
    with replacing_hdf5(path) as file:
        for group, values in (("weights", state.weights), ("optimizer", state.optimizer)):
            file.create_group(group)
            for number, value in enumerate(values):
                file[group].create_dataset(f"{number:03d}", data=value)
        file.attrs.update(
            epoch=state.epoch,
            step=state.step,
            total_steps=state.total_steps,
            recipe=state.recipe,
            crc32=_crc32(state),
        )
    with naming(folder, "remove old checkpoints in"):
        for old in newest(run)[keep:]:
            old.unlink(missing_ok=True)
    return path


def _crc32(state: State) -> int:
    """One checksum of all that a checkpoint holds."""
    found = zlib.crc32(repr((state.epoch, state.step, state.total_steps, state.recipe)).encode())
    for value in (*state.weights, *state.optimizer):
        found = zlib.crc32(np.ascontiguousarray(value).tobytes(), found)
    return found


def newest(run: Path) -> list[Path]:
    """The checkpoints of a run folder, newest first."""
    return sorted((run / FOLDER).glob("step-*.h5"), reverse=True)


def read(path: Path) -> State:
    """Read a checkpoint.

    Raises:
        InputError: it is damaged.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            variables = {
                group: [file[group][name][()] for name in sorted(file[group])]
                for group in ("weights", "optimizer")
            }
            state = State(
                epoch=int(file.attrs["epoch"]),
                step=int(file.attrs["step"]),
                total_steps=int(file.attrs["total_steps"]),
                recipe=str(file.attrs["recipe"]),
                **variables,
            )
            expected = int(file.attrs["crc32"])
    except Exception as error:  # a damaged HDF5 file fails in any part of h5py
        raise InputError(f"{path}: damaged checkpoint ({error})") from error
    if _crc32(state) != expected:
        raise InputError(f"{path}: damaged checkpoint (checksum differs)")
    return state


def latest(run: Path, recipe: str) -> State | None:
    """The newest checkpoint of a run folder that loads, or None.

    Raises:
        InputError: there are checkpoints but none loads, or they are of another recipe.
    """
    failure: InputError | None = None
    for path in newest(run):
        try:
            state = read(path)
        except InputError as error:
            failure = failure or error
            continue
        if state.recipe != recipe:
            raise InputError(
                f"{path}: made with another configuration or tile set; choose another --out, or "
                "add --restart to begin anew"
            )
        return state
    if failure is not None:
        raise failure
    return None
