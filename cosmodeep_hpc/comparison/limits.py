"""The ideal limit: an observer who knows the sky of a tile up to its amplitude.

The observer has the noise-free Sky of the tile and its surroundings, times an unknown amplitude A
(which is 1), and measures A by the matched filter that is optimal in the noise of the image. Let T
be the template, the Sky seen through the beam in units of the noise's rms, and C the correlation of
the noise from pixel to pixel. The estimate is normal with mean 1 and deviation 1 / SNR, where SNR^2
= T C^-1 T. The tile is called signal if the Sky times the estimate has more than N_pix pixels above
F_th, that is if the estimate exceeds a = F_th / L, where L is the (N_pix + 1)-th brightest Sky
pixel of the tile. That happens with probability Phi((1 - a) SNR).

C is not the unit matrix, although the beam (10 arcsec) is hardly wider than a pixel (9.6 arcsec):
neighbours are correlated by 0.28, and noise averages over large areas 1.6 times as badly as white
noise would.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, toeplitz
from scipy.special import ndtr

from cosmodeep_hpc.images.beam import Beam

FLOOR = 1e-6
"""Share of the noise's variance that is independent from pixel to pixel, such as rounding. Without
it the correlation of a well-sampled beam could not be inverted."""
SHIFTS = (-np.inf, *(float(s) for s in np.geomspace(1 / 16, 16, 161)), np.inf)
"""Factors on the amplitude a from which a tile is called signal; from all tiles to none."""
PRICES = tuple(float(p) for p in np.geomspace(100, 0.01, 81))
"""Prices of a false tile, in found tiles, for the curve."""
CLASSES, TILES_A_CLASS, NEAR = 6, 100, 10.0
"""Most classes of tiles, and least tiles of each with a level within a factor NEAR of F_th. There
are few classes, so that a class's shift tells nothing of single tiles."""


@dataclass(frozen=True)
class Expected:
    """Tiles that the observer is expected to get right and wrong, and the accuracies of these.

    Attributes:
        found: mean of Nsc, signal tiles called signal. false: of Nvw, noise tiles called signal.
        signal: Ns. noise: Nv.
    """

    found: float
    false: float
    signal: int
    noise: int

    @property
    def As(self) -> float:  # noqa: N802 - the paper's name
        """Nsc / (Ns + Nvw)."""
        return _ratio(self.found, self.signal + self.false)

    @property
    def Ws(self) -> float:  # noqa: N802
        """Nsc / Ns, the completeness."""
        return _ratio(self.found, self.signal)

    @property
    def Wv(self) -> float:  # noqa: N802
        """Nvc / Nv."""
        return _ratio(self.noise - self.false, self.noise)

    @property
    def purity(self) -> float:
        """Signal tiles among the tiles found."""
        return _ratio(self.found, self.found + self.false)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


@lru_cache(maxsize=4)
def whitening(side: int, width: float | None) -> NDArray[np.float64]:
    """Return the matrix (side, side) that makes the pixels of a line of the noise independent.

    Args:
        side: pixels of the line.
        width: of the beam (FWHM) along it [pixel]; None for noise that is independent already.
    """
    if width is None:
        return np.eye(side)
    across = Beam(width, width).noise_correlation(np.arange(side), 0.0)
    value, vector = eigh(toeplitz(across))
    value = np.maximum(value, 0) + FLOOR
    return np.asarray((vector / np.sqrt(value)) @ vector.T)


def tile_snr(
    template: NDArray[np.float32],
    row: NDArray[np.int32],
    col: NDArray[np.int32],
    size: int,
    margin: int,
    beam: Beam | None,
    scale: float,
) -> NDArray[np.float64]:
    """Return the signal-to-noise ratio of the optimal matched filter for each tile, float64 (n,).

    A beam that is neither round nor along an axis counts as the round one of its area: the
    correlation is then the product of one along rows and one along columns.

    Args:
        template: float32 (ny, nx), the Sky seen through the beam over the rms of the noise.
        row, col: places of tiles.
        size: side of a tile [pixel].
        margin: pixels around it that are seen too; beyond the image's edge the sky is dark.
        beam: that the noise was seen through; None for noise independent from pixel to pixel.
        scale: side of a pixel [arcsec].
    """
    side = size + 2 * margin
    along_rows, along_columns = _widths(beam, scale)
    left, right = whitening(side, along_columns), whitening(side, along_rows).T
    padded = np.pad(template, margin)
    snr = np.empty(len(row))
    for number, (r, c) in enumerate(zip(row.tolist(), col.tolist(), strict=True)):
        window = padded[r * size : r * size + side, c * size : c * size + side]
        snr[number] = np.linalg.norm(left @ window @ right)
    return snr


def _widths(beam: Beam | None, scale: float) -> tuple[float | None, float | None]:
    """Return the beam's FWHM along rows (west) and along columns (north) [pixel]."""
    if beam is None:
        return None, None
    if beam.angle % 180 == 0:
        return beam.minor / scale, beam.major / scale
    if beam.angle % 180 == 90:
        return beam.major / scale, beam.minor / scale
    round_ = float(np.sqrt(beam.major * beam.minor)) / scale
    return round_, round_


def probability(
    level: NDArray[np.float32], snr: NDArray[np.float64], f_th: float, shift: float = 1.0
) -> NDArray[np.float64]:
    """Return the probability that the observer calls a tile signal, float64 (n,).

    Args:
        level: the (N_pix + 1)-th brightest Sky pixel of the tiles [Jy/arcsec^2].
        snr: of the matched filter.
        f_th: flux threshold F_th [Jy/arcsec^2].
        shift: a factor on the amplitude above which a tile is called signal.
    """
    bright = level > 0
    needed = np.full(len(level), np.inf)
    needed[bright] = shift * f_th / level[bright].astype(np.float64)
    called = np.zeros(len(level))  # a tile without any sky is never called signal
    called[bright] = ndtr((1 - needed[bright]) * snr[bright])
    return called


def expected(
    level: NDArray[np.float32], snr: NDArray[np.float64], f_th: float, shift: float = 1.0
) -> Expected:
    """Return the tiles that the observer is expected to get right; see `probability`."""
    called = probability(level, snr, f_th, shift)
    signal = level > np.float32(f_th)
    count = int(signal.sum())
    return Expected(
        float(called[signal].sum()), float(called[~signal].sum()), count, len(level) - count
    )


@dataclass(frozen=True)
class Trade:
    """The expected findings of observers who call more, or fewer, tiles signal.

    Maximum likelihood, shift 1, does not give the largest As: there are many faint tiles, so of the
    tiles that seem just bright enough more than half may be fainter, and the more so the worse they
    are measured. An observer who knows the distribution chooses a shift for each class of tiles
    with about the same error L / SNR of the level L.

    Attributes:
        found, false: float64 (classes, len(SHIFTS)), the means of Nsc and Nvw at each shift.
        signal: Ns. noise: Nv.
    """

    found: NDArray[np.float64]
    false: NDArray[np.float64]
    signal: int
    noise: int

    @classmethod
    def of(cls, level: NDArray[np.float32], snr: NDArray[np.float64], f_th: float) -> Trade:
        """Return the trade for tiles of these levels; see `probability` for the arguments."""
        signal = level > np.float32(f_th)
        bright = (level > 0) & (snr > 0)
        high, is_signal = level[bright].astype(np.float64) / f_th, signal[bright]
        error = high / snr[bright]
        near = error[np.abs(np.log(high)) < np.log(NEAR)]
        count = int(np.clip(len(near) // TILES_A_CLASS, 1, CLASSES))
        shares = np.arange(1, count) / count
        edges = np.unique(np.quantile(near, shares)) if count > 1 else np.empty(0)
        count = len(edges) + 1
        class_of_tile = np.searchsorted(edges, error)
        found, false = np.zeros((2, count, len(SHIFTS)))
        for column, shift in enumerate(SHIFTS):
            called = ndtr((high - shift) / error)
            found[:, column] = np.bincount(class_of_tile, called * is_signal, count)
            false[:, column] = np.bincount(class_of_tile, called * ~is_signal, count)
        total = int(signal.sum())
        return cls(found, false, total, len(level) - total)

    def at(self, shifts: NDArray[np.intp]) -> Expected:
        """Return the expected findings with a shift for each class, by its place in SHIFTS."""
        classes = np.arange(len(self.found))
        found, false = self.found[classes, shifts].sum(), self.false[classes, shifts].sum()
        return Expected(float(found), float(false), self.signal, self.noise)

    def best(self, price: float) -> NDArray[np.intp]:
        """Return the shifts that make found less `price` times false tiles largest: (classes,)."""
        return np.asarray(np.argmax(self.found - price * self.false, axis=1))

    def best_common(self) -> tuple[float, Expected]:
        """Return the common shift of all tiles with the largest As."""
        one = Trade(self.found.sum(0)[None], self.false.sum(0)[None], self.signal, self.noise)
        reached = one.found[0] / np.maximum(one.signal + one.false[0], 1e-300)
        shift = np.array([np.argmax(reached)])
        return SHIFTS[shift[0]], one.at(shift)

    def best_classes(self) -> tuple[list[float], Expected]:
        """Return the classes' shifts of the largest As, from the best measured to the worst.

        If the price of a false tile is As, the shifts of the largest gain are those of the largest
        As (Dinkelbach's method for ratios).
        """
        price, found = 0.0, self.at(self.best(0.0))
        while self.signal and found.As > price + 1e-9:
            price = found.As
            found = self.at(self.best(price))
        return [SHIFTS[i] for i in self.best(price)], found

    def curve(self) -> list[Expected]:
        """Return completeness and purity, from the highest price of a false tile to the lowest."""
        return [self.at(self.best(price)) for price in PRICES]
