"""A particle-mesh simulation of dark matter in a periodic box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.sky.cosmology import H0, expansion, growth, growth_rate, linear_power
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.mesh import Field, deposit, interpolate


@dataclass(frozen=True)
class Snapshot:
    """The particles at one redshift, on the grid that they started from.

    Attributes:
        redshift: of the snapshot.
        side: comoving side of the box [Mpc].
        displacement: float32 (3, n, n, n), x - q [comoving Mpc], not wrapped.
        velocity: float32 (3, n, n, n), peculiar velocity [km/s].
    """

    redshift: float
    side: float
    displacement: Field
    velocity: Field


def wave_numbers(mesh: int, side: float) -> tuple[Field, Field, Field]:
    """Return the wave numbers [1/Mpc] along the three axes of a real FFT, shaped to broadcast."""
    step = 2 * np.pi / side
    full = (np.fft.fftfreq(mesh, 1 / mesh) * step).astype(np.float32)
    half = (np.arange(mesh // 2 + 1) * step).astype(np.float32)
    return full[:, None, None], full[None, :, None], half[None, None, :]


def gradient_of_inverse_laplacian(density: NDArray[Any], side: float) -> NDArray[Any]:
    """Return the gradient s with div s = -density: i k / k^2 times the density's transform.

    Args:
        density: complex64 (n, n, n // 2 + 1), transform of a real field.
        side: of the box.

    Returns:
        complex64 (3, n, n, n // 2 + 1). Waves at the Nyquist frequency have no gradient.
    """
    mesh = density.shape[0]
    waves = wave_numbers(mesh, side)
    square = waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2
    square[0, 0, 0] = 1
    potential = density / square
    potential[0, 0, 0] = 0
    fields = np.empty((3, *density.shape), np.complex64)
    for axis, wave in enumerate(waves):
        odd = np.where(np.abs(wave) < np.abs(waves[0]).max() * 0.9999, wave, 0)
        fields[axis] = 1j * odd * potential
    return fields


def initial_displacement(seed: int, mesh: int, side: float, workers: int = 1) -> Field:
    """Return a Gaussian random displacement field, linearly extrapolated to today [comoving Mpc].

    Args:
        seed: of the field; the same seed, mesh and side give the same bytes. Fields of different
            sides are independent.
        mesh: particles along a side.
        side: of the box [Mpc].
        workers: threads of the FFT; no influence on the result.

    Returns:
        float32 (3, mesh, mesh, mesh).
    """
    white = draws(seed, Purpose.DENSITY, round(1000 * side)).standard_normal(
        (mesh,) * 3, dtype=np.float32
    )
    density = scipy.fft.rfftn(white, workers=workers, overwrite_x=True)
    waves = wave_numbers(mesh, side)
    k = np.sqrt(waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2)
    density *= np.sqrt(linear_power(k) * (mesh / side) ** 3).astype(np.float32)
    del white, k
    return _inverse(gradient_of_inverse_laplacian(density, side), mesh, workers)


def _inverse(fields: NDArray[Any], mesh: int, workers: int) -> Field:
    """Return the real fields (3, n, n, n) of three transforms."""
    real = np.empty((3, mesh, mesh, mesh), np.float32)
    for axis in range(3):
        real[axis] = scipy.fft.irfftn(fields[axis], s=(mesh,) * 3, workers=workers)
    return real


def _force(displacement: Field, side: float, workers: int) -> Field:
    """Return -grad of the inverse Laplacian of the density contrast, (3, n, n, n) [Mpc].

    It is read at the particles. In the linear regime it is the displacement itself, which fixes its
    sign and its scale.
    """
    n = displacement.shape[1]
    density = deposit(displacement, side, n)
    transform = scipy.fft.rfftn(density, workers=workers, overwrite_x=True)
    table = np.empty((n, n, n, 3), np.float32)  # side by side: a particle reads them together
    for axis, field in enumerate(gradient_of_inverse_laplacian(transform, side)):
        table[..., axis] = scipy.fft.irfftn(field, s=(n,) * 3, workers=workers)
    return interpolate(displacement, side, table)


def step_edges(start: float, snapshots: Sequence[float], steps: int) -> list[float]:
    """Return scale factors from `start` to the last snapshot, every snapshot among them.

    Steps are even between two snapshots, and at most (last - start) / steps long.
    """
    edges = [start]
    longest = (max(snapshots) - start) / steps
    for stop in sorted(set(snapshots)):
        count = max(1, int(np.ceil((stop - edges[-1]) / longest - 1e-9)))
        edges += [*np.linspace(edges[-1], stop, count + 1)[1:-1].tolist(), stop]
    return edges


def evolve(
    linear: Field,
    side: float,
    redshifts: Sequence[float],
    start: float = 49.0,
    steps: int = 32,
    workers: int = 1,
    progress: Progress = silent,
) -> Iterator[Snapshot]:
    """Follow particles under their own gravity; yield them at `redshifts`, the highest first.

    Args:
        linear: float32 (3, n, n, n), displacement linearly extrapolated to today [comoving Mpc].
        side: of the box [Mpc].
        redshifts: of the snapshots, each below `start`.
        start: redshift at which the particles are put on the Zel'dovich approximation.
        steps: of the leapfrog, in the scale factor, at least (see `step_edges`).
        workers: threads of the FFT; no influence on the result.
        progress: called with (steps done, steps in all).

    Source: kick-drift-kick leapfrog with a mesh of as many cells as particles; the factors of kick
    and drift are those of FastPM (Feng et al. 2016), for which linear growth is exact.
    """
    by_scale = {1 / (1 + z): z for z in redshifts}
    edges = step_edges(1 / (1 + start), sorted(by_scale), steps)
    displacement = linear * np.float32(growth(edges[0]))
    momentum = linear * np.float32(_momentum(edges[0]))
    force = _force(displacement, side, workers)
    for done, (begin, end) in enumerate(pairwise(edges), start=1):
        middle = 0.5 * (begin + end)
        force *= np.float32((_momentum(middle) - _momentum(begin)) / growth(begin))
        momentum += force
        drift = (growth(end) - growth(begin)) / _momentum(middle)
        displacement += momentum * np.float32(drift)
        force = _force(displacement, side, workers)
        momentum += force * np.float32((_momentum(end) - _momentum(middle)) / growth(end))
        progress(done, len(edges) - 1)
        redshift = by_scale.get(end)
        if redshift is not None:
            velocity = momentum * np.float32(H0 / end)
            yield Snapshot(redshift, side, displacement.copy(), velocity)


def _momentum(a: float) -> float:
    """Return a^3 E(a) dD/da: momentum a^2 dx/dt [H0 Mpc] of linear growth for 1 Mpc moved."""
    return float(a**3 * expansion(a) * growth_rate(a))
