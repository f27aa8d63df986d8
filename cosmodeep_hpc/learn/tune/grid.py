"""The runs of a search for the best parameters: run K is a pure function of (options, K).

The paper counts 180 combinations of learning rate, batch and number of epochs. With a constant
learning rate and one seed, the first epochs of a run do not know how many follow: training for 20
epochs is, bit for bit, the beginning of training for 100. So combinations that differ in their
epochs alone are one run, judged on its way: 45 runs and 4,500 epochs in place of 180 and 8,100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.tune import Tune
from cosmodeep_hpc.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TuneRun:
    """One training run of a search.

    Attributes:
        number: K, counted from 0; the number of its job in an array.
        learning_rate: eta. batch: N_b.
        epochs: the N_e it is judged at, in the order of the options; it is trained to the largest.
        tests: the number of each combination, counted from 1: the paper's TestID.
    """

    number: int
    learning_rate: float
    batch: int
    epochs: tuple[int, ...]
    tests: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of its folder, and of the file of its result."""
        return f"{self.number:04d}"


def count(tune: Tune) -> int:
    """Return the number of runs."""
    return tune.runs if tune.search == "random" else len(tune.learning_rates) * len(tune.batches)


def tune_run(tune: Tune, number: int) -> TuneRun:
    """Return run `number` of a search.

    In a grid the learning rate changes fastest, then the number of epochs, then the batch: as in
    figure 5 of the paper, where the batch grows with the TestID and, within one batch, the epochs.

    Raises:
        InputError: there is no such run.
    """
    runs = count(tune)
    if not 0 <= number < runs:
        raise InputError(f"run {number}: expected 0 to {runs - 1}, as in --array=0-{runs - 1}")
    if tune.search == "random":
        rate, batch = _drawn(tune, number)
        first, step = number * len(tune.epochs) + 1, 1  # whatever the number of runs
    else:
        step = len(tune.learning_rates)
        row, place = divmod(number, step)
        rate, batch = tune.learning_rates[place], tune.batches[row]
        first = row * len(tune.epochs) * step + place + 1
    tests = tuple(first + n * step for n in range(len(tune.epochs)))
    return TuneRun(number=number, learning_rate=rate, batch=batch, epochs=tune.epochs, tests=tests)


def _drawn(tune: Tune, number: int) -> tuple[float, int]:
    """Draw learning rate and batch of run `number`, evenly in their logarithms.

    A run does not depend on how many there are: a search can be made longer.
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence((tune.seed, number))))

    def drawn(values: Sequence[float]) -> float:
        low, high = min(values), max(values)
        return min(max(math.exp(random.uniform(math.log(low), math.log(high))), low), high)

    rate = float(f"{drawn(tune.learning_rates):.2e}")  # three digits, to be written down
    batch = round(drawn(tune.batches))
    return rate, batch


def config_of(config: Config, run: TuneRun) -> Config:
    """Return the configuration that a run is trained with.

    It is validated at each of its numbers of epochs, and, between them, about as often as asked.
    """
    train = replace(
        config.train,
        learning_rate=run.learning_rate,
        batch=run.batch,
        epochs=max(run.epochs),
        validate_epochs=math.gcd(config.train.validate_epochs, *run.epochs),
    )
    return replace(config, train=train)
