"""Which tile is seen when: a pure function of (seed, epoch, step), the same on every rank.

Nothing is shuffled in place and nothing is remembered, so a run resumes from a few integers, and
another number of ranks continues with the same global batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.parallel.world import rank_range

# First word of the Philox key of each kind of draw, so that no two share their random numbers.
_POOL, _EPOCH, _DROPOUT, SYMMETRY = 1, 2, 3, 4


def philox(seed: int, kind: int, counter: tuple[int, int, int, int]) -> np.random.Philox:
    """Return random numbers of a seed for one kind of draw, from a place in their sequence on."""
    return np.random.Philox(
        key=np.array([seed, kind], dtype=np.uint64), counter=np.array(counter, dtype=np.uint64)
    )


def noise_pool(
    noise: NDArray[np.int64], n_signal: int, per_signal: float, seed: int
) -> NDArray[np.int64]:
    """Draw the noise tiles to hold in memory: `per_signal` for each signal tile, ascending.

    Return all of them if there are fewer.
    """
    count = min(len(noise), int(np.ceil(n_signal * per_signal)))
    draw = np.random.Generator(philox(seed, _POOL, (0, 0, 0, 0))).permutation(len(noise))[:count]
    return np.sort(noise[draw])


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """The order of a training run.

    An epoch is all signal tiles and `noise_per_signal` times as many noise tiles, drawn anew each
    epoch without repetition, in a random order. Its last global batch holds the remainder. If
    an epoch would have more than `epoch_tiles`, signal tiles too are drawn anew each epoch.

    Attributes:
        signal, noise: positions of the signal and noise tiles in the tile store.
        batch: tiles in a global batch.
        noise_per_signal: noise tiles drawn for one signal tile.
        epoch_tiles: tiles of an epoch at most; 0: as many as there are.
        seed: of the run.
    """

    signal: NDArray[np.int64]
    noise: NDArray[np.int64]
    batch: int
    noise_per_signal: float
    seed: int
    epoch_tiles: int = 0

    @property
    def epoch_size(self) -> int:
        """Number of tiles in an epoch."""
        return self._n_signal + self._n_noise

    @property
    def _n_signal(self) -> int:
        share = int(self.epoch_tiles / (1 + self.noise_per_signal))
        return min(len(self.signal), max(1, share)) if self.epoch_tiles else len(self.signal)

    @property
    def _n_noise(self) -> int:
        return min(len(self.noise), int(np.ceil(self._n_signal * self.noise_per_signal)))

    @property
    def steps(self) -> int:
        """Number of global batches in an epoch: the same on every rank, whatever the remainder."""
        return -(-self.epoch_size // self.batch)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the epoch's tiles in order, int64 (epoch_size,)."""
        random = np.random.Generator(philox(self.seed, _EPOCH, (0, 0, 0, epoch)))
        noise = self.noise[random.permutation(len(self.noise))[: self._n_noise]]
        signal = self.signal
        if self._n_signal < len(signal):
            signal = signal[random.permutation(len(signal))[: self._n_signal]]
        together = np.concatenate([signal, noise])
        return together[random.permutation(len(together))]

    def batch_rows(self, step: int) -> range:
        """Return the positions of global batch `step` in the epoch's order."""
        return range(step * self.batch, min((step + 1) * self.batch, self.epoch_size))

    def local_rows(self, step: int, rank: int, size: int) -> range:
        """Return the positions of this rank's part of global batch `step` in the epoch's order.

        The part is empty if the batch has fewer tiles than there are ranks.
        """
        rows = self.batch_rows(step)
        part = rank_range(len(rows), rank, size)
        return range(rows.start + part.start, rows.start + part.stop)

    def local_positions(
        self, rank: int, size: int, *, first: tuple[int, int], epochs: int
    ) -> Iterator[NDArray[np.int64]]:
        """Yield the positions of this rank's tiles in the store, step by step.

        Args:
            first: the epoch and the step in it to begin with.
            epochs: of the run; the last step is that of the last of them.
        """
        begin, skipped = first
        for epoch in range(begin, epochs):
            order = self.order(epoch)
            for step in range(skipped if epoch == begin else 0, self.steps):
                rows = self.local_rows(step, rank, size)
                yield order[rows.start : rows.stop]


def keep_mask(
    units: int, dropout: float, *, seed: int, epoch: int, rows: range
) -> NDArray[np.float32]:
    """Return the dropout mask of tiles by their place in the epoch: 0, or 1 / (1 - dropout).

    Each tile has its own counter, so a tile's mask does not depend on the ranks that share the
    batch. `dropout` is rounded to 1 / 65536.

    Returns:
        float32 (len(rows), units).
    """
    words = -(-units // 16) * 4  # 64-bit numbers a tile, a multiple of Philox's block of 4
    random = philox(seed, _DROPOUT, (rows.start * (words // 4), 0, 0, epoch))
    raw = random.random_raw(len(rows) * words).view(np.uint16).reshape(len(rows), words * 4)
    kept = raw[:, :units] >= round(dropout * 65536)
    return kept * np.float32(1.0 / (1.0 - dropout))
