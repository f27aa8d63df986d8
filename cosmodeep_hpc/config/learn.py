"""Options of the network and its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cosmodeep_hpc.config.section import SEEDS, Section, option
from cosmodeep_hpc.errors import InputError

LEVELS = (0, 1, 2, 4, 6, 9, 12, 15, 20, 25, 32, 40, 50, 60, 80, 100, 150, 200, 400)
"""Pixel thresholds N_pix of a counts network; values between are interpolated."""

THRESHOLDS = 8
"""Most flux thresholds F_th of a counts network: a byte has a bit for each."""


def levels(size: int) -> tuple[int, ...]:
    """Return the pixel thresholds of a counts network for tiles of `size` x `size` pixels."""
    return tuple(level for level in LEVELS if level < size**2)


@dataclass(frozen=True, kw_only=True)
class Model(Section):
    """The network (paper, section 2 and figure 1)."""

    network: Literal["paper", "counts"] = option(
        "paper",
        "paper: noise or signal by one label; counts: how many pixels exceed each threshold, which "
        "reads every label of tiles.thresholds (docs/counts.md)",
    )
    width: int = option(
        16, "maps of the counts network's first layer; others have 2 and 3 times as many", low=1,
        high=256,
    )  # fmt: skip
    depth: int = option(
        2, "how often the counts network halves the resolution: with 3 it sees 29 pixels around "
        "each pixel, with 2 it sees 13", low=2, high=3,
    )  # fmt: skip
    head: Literal["pyramid", "flatten"] = option(
        "pyramid",
        "second pooling: a pyramid of 3 x 3 and 1 x 1 bins (677,250 parameters whatever the tile), "
        "or 2 x 2 pooling and all features flattened (6.58 million for 40 x 40 tiles)",
    )
    dropout: float = option(0.25, "share of the 1024 units dropped in training", low=0, below=1)


@dataclass(frozen=True, kw_only=True)
class Train(Section):
    """Training (paper, section 4 and table 1)."""

    seed: int = option(1, "seed of weights, sampling and dropout", low=0, high=SEEDS)
    epochs: int = option(50, "passes over the drawn tiles, N_e", low=1)
    batch: int = option(100, "tiles in a global batch, over all ranks, N_b", unit="tile", low=1)
    learning_rate: float = option(7e-5, "learning rate of Adam, eta", above=0, high=1e30)
    learning_rate_rule: Literal["none", "linear", "square_root"] = option(
        "none", "how the learning rate grows with train.batch / train.base_batch"
    )
    base_batch: int = option(
        100, "global batch that train.learning_rate is for, where a rule scales it", low=1
    )
    warmup_epochs: float = option(
        0.0, "epochs in which the learning rate rises to its value, in a line from 0", low=0
    )
    schedule: Literal["constant", "cosine"] = option(
        "constant",
        "the learning rate after the warm-up: constant (the paper), or half a cosine that falls to "
        "0 after the last step",
    )
    symmetries: bool = option(
        False, "turn and mirror each tile anew each time it is drawn: the 8 symmetries of a square"
    )
    noise_per_signal: float = option(
        1.0, "noise tiles drawn in an epoch for one signal tile", above=0
    )
    epoch_tiles: int = option(
        0,
        "most tiles of an epoch, signal and noise, drawn anew each time; 0: all signal tiles",
        unit="tile",
        low=0,
    )
    noise_pool: float = option(
        4.0, "noise tiles held for one signal tile; an epoch draws from them", above=0
    )
    store: Literal["auto", "memory", "disk"] = option(
        "auto",
        "where tiles are held: in the memory of each node, or on disk, from which each rank reads "
        "those of its coming steps; auto: in memory where they fit. The result is the same",
    )
    read_ahead: int = option(
        256, "memory of a rank for tiles read ahead from disk", unit="MiB", low=1, high=2**20
    )
    precision: Literal["float32", "bfloat16", "float16"] = option(
        "float32",
        "numbers the step computes with; weights, sums and gradients over ranks stay float32",
    )
    sums: Literal["auto", "horovod", "mpi"] = option(
        "auto",
        "how gradients are summed over ranks: by Horovod (NCCL between GPUs), or by MPI on the "
        "host's memory, without Horovod; auto: Horovod where it has NCCL and there are GPUs",
    )
    xla: bool = option(False, "compile the step with XLA: for GPUs, it is slower on CPUs")
    deterministic: bool = option(
        False, "bit-for-bit repeats on GPUs too, at a cost; runs on CPUs repeat anyhow"
    )
    validate_epochs: int = option(1, "epochs between two validations; one after the last", low=1)
    patience: int = option(
        0, "validations in a row without a better As after which training stops; 0: never", low=0
    )
    keep: Literal["last", "best"] = option(
        "last",
        "the model that a run keeps: of the last epoch (the paper), or of the best validation As",
    )
    log_steps: int = option(50, "steps between two lines of metrics.jsonl", unit="step", low=1)
    checkpoint_steps: int = option(500, "steps between two checkpoints", unit="step", low=1)
    checkpoint_minutes: float = option(
        2.0, "minutes after which there is a checkpoint anyhow; 0: by steps alone", low=0
    )
    keep_checkpoints: int = option(3, "newest checkpoints kept", low=1)

    def __post_init__(self) -> None:
        """Check each option, then those that depend on each other."""
        super().__post_init__()
        if self.noise_pool < self.noise_per_signal:
            raise InputError(
                f"train.noise_pool = {self.noise_pool:g}: expected at least "
                f"train.noise_per_signal = {self.noise_per_signal:g}"
            )
