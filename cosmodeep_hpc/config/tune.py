"""Options of the search for the best learning rate, batch and number of epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cosmodeep_hpc.config.section import SEEDS, Section, option
from cosmodeep_hpc.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Tune(Section):
    """Which combinations are tried (paper, section 4 and figure 5)."""

    search: Literal["grid", "random"] = option(
        "grid",
        "grid: every learning rate with every batch; random: both drawn, on a logarithmic scale, "
        "between the smallest and the largest of their lists",
    )
    learning_rates: tuple[float, ...] = option(
        (1e-6, 5e-6, 1e-5, 3e-5, 5e-5, 7e-5, 1e-4, 5e-4, 1e-3), "learning rates, eta", above=0
    )
    batches: tuple[int, ...] = option(
        (15, 30, 50, 64, 100), "tiles in a global batch, N_b", unit="tile", low=1
    )
    epochs: tuple[int, ...] = option(
        (10, 20, 50, 100),
        "numbers of epochs, N_e; a run goes to the largest, and is judged at each on its way",
        low=1,
    )
    runs: int = option(20, "runs of a random search", low=1)
    seed: int = option(1, "seed of a random search", low=0, high=SEEDS)

    def __post_init__(self) -> None:
        """Check each option, then that each list has distinct values."""
        super().__post_init__()
        for name in ("learning_rates", "batches", "epochs"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                found = list(values)
                raise InputError(f"tune.{name} = {found}: expected distinct values, one or more")
