"""Checkpoints: the state of a run in one HDF5 file, whole or not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.files import replacing

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
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{state.total_steps:08d}.h5"
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for group, values in (("weights", state.weights), ("optimizer", state.optimizer)):
            file.create_group(group)
            for number, value in enumerate(values):
                file[group].create_dataset(f"{number:03d}", data=value, fletcher32=value.ndim > 0)
        file.attrs.update(
            epoch=state.epoch,
            step=state.step,
            total_steps=state.total_steps,
            recipe=state.recipe,
        )
    for old in newest(run)[keep:]:
        old.unlink()
    return path


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
            return State(
                epoch=int(file.attrs["epoch"]),
                step=int(file.attrs["step"]),
                total_steps=int(file.attrs["total_steps"]),
                recipe=str(file.attrs["recipe"]),
                **variables,
            )
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: damaged checkpoint ({error})") from error


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
