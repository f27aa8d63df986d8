"""A particle-mesh simulation of dark matter in a periodic box."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.sparse import csr_array

from cosmodeep_hpc.sky.cosmology import H0, expansion, growth, growth_rate, linear_power
from cosmodeep_hpc.sky.draws import Purpose, draws

Field = NDArray[np.float32]

_CHUNK = 1 << 16  # particles handled at once, so that their 8 cells and weights stay in the cache,
_CHUNKS = 32  # but in no more pieces than this, since a deposit passes over the mesh for each


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
    """Wave numbers [1/Mpc] along the three axes of a real FFT, ready to be broadcast."""
    step = 2 * np.pi / side
    full = (np.fft.fftfreq(mesh, 1 / mesh) * step).astype(np.float32)
    half = (np.arange(mesh // 2 + 1) * step).astype(np.float32)
    return full[:, None, None], full[None, :, None], half[None, None, :]


def gradient_of_inverse_laplacian(density: NDArray[Any], side: float) -> NDArray[Any]:
    """The field s with div s = -density, s a gradient: i k / k^2 times the density's transform.

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
    """A Gaussian random displacement field, linearly extrapolated to today [comoving Mpc].

    Args:
        seed: of the field; the same seed, mesh and side give the same bytes.
        mesh: particles along a side.
        side: of the box [Mpc].
        workers: threads of the FFT; no influence on the result.

    Returns:
        float32 (3, mesh, mesh, mesh).
    """
    white = draws(seed, Purpose.DENSITY).standard_normal((mesh,) * 3, dtype=np.float32)
    density = scipy.fft.rfftn(white, workers=workers, overwrite_x=True)
    waves = wave_numbers(mesh, side)
    k = np.sqrt(waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2)
    density *= np.sqrt(linear_power(k) * (mesh / side) ** 3).astype(np.float32)
    del white, k
    return _inverse(gradient_of_inverse_laplacian(density, side), mesh, workers)


def _inverse(fields: NDArray[Any], mesh: int, workers: int) -> Field:
    """The real fields (3, n, n, n) of three transforms."""
    real = np.empty((3, mesh, mesh, mesh), np.float32)
    for axis in range(3):
        real[axis] = scipy.fft.irfftn(fields[axis], s=(mesh,) * 3, workers=workers)
    return real


def cloud_in_cell(displacement: Field, side: float, mesh: int) -> Iterator[tuple[slice, Any]]:
    """The cloud-in-cell weights of particles, chunk by chunk.

    Args:
        displacement: float32 (3, n, n, n) [comoving Mpc]; particles start on a grid of n cells.
        side: of the box [Mpc].
        mesh: cells along a side; cell i has its centre at i * side / mesh.

    Yields:
        The particles (a slice of the flattened grid) and a sparse matrix (particles, mesh^3) of
        weights, which sum to 1 a particle: its product reads a field at the particles, its
        transposed product deposits them.
    """
    n = displacement.shape[1]
    flat = displacement.reshape(3, -1)
    cells = np.float32(mesh / side)
    step = max(_CHUNK, -(-flat.shape[1] // _CHUNKS))
    for start in range(0, flat.shape[1], step):
        rows = slice(start, min(start + step, flat.shape[1]))
        count = rows.stop - rows.start
        corners, parts = [], []
        for axis, grid in enumerate(np.unravel_index(np.arange(rows.start, rows.stop), (n,) * 3)):
            place = grid.astype(np.float32) * np.float32(mesh / n) + flat[axis, rows] * cells
            floor = np.floor(place)
            part = place - floor
            low = floor.astype(np.int32) % mesh
            high = low + 1
            high[high == mesh] = 0
            stride = mesh ** (2 - axis)
            corners.append((low * np.int32(stride), high * np.int32(stride)))
            parts.append((1 - part, part))
        index = np.empty((count, 8), np.int32)
        weight = np.empty((count, 8), np.float32)
        for corner in range(8):
            i, j, k = corner >> 2, corner >> 1 & 1, corner & 1
            index[:, corner] = corners[0][i] + corners[1][j] + corners[2][k]
            weight[:, corner] = parts[0][i] * parts[1][j] * parts[2][k]
        pointer = np.arange(0, 8 * count + 1, 8, dtype=np.int32)
        yield (
            rows,
            csr_array((weight.ravel(), index.ravel(), pointer), shape=(count, mesh**3), copy=False),
        )


def deposit(snapshot: Snapshot, mesh: int, values: Field | None = None) -> Field:
    """Particles, or what they carry, on a mesh by cloud-in-cell.

    Args:
        snapshot: the particles.
        mesh: cells along a side.
        values: float32 (c, n, n, n) carried by the particles; None counts them.

    Returns:
        float32 (c, mesh, mesh, mesh), sums over particles in units of the mean number a cell.
    """
    n = snapshot.displacement.shape[1]
    carried = np.ones((n**3, 1), np.float32) if values is None else values.reshape(-1, n**3).T
    total = np.zeros((mesh**3, carried.shape[1]), np.float32)
    for rows, weights in cloud_in_cell(snapshot.displacement, snapshot.side, mesh):
        total += weights.T @ np.ascontiguousarray(carried[rows])
    total *= np.float32((mesh / n) ** 3)
    return np.ascontiguousarray(total.T).reshape(-1, mesh, mesh, mesh)


def _force(displacement: Field, side: float, workers: int) -> Field:
    """-grad of the inverse Laplacian of the density contrast at the particles [Mpc], (3, n, n, n).

    In the linear regime it is the displacement itself, which fixes its sign and its scale.
    """
    n = displacement.shape[1]
    density = np.zeros(n**3, np.float32)
    for rows, weights in cloud_in_cell(displacement, side, n):
        density += weights.T @ np.ones(rows.stop - rows.start, np.float32)
    transform = scipy.fft.rfftn(density.reshape((n,) * 3), workers=workers)
    fields = _inverse(gradient_of_inverse_laplacian(transform, side), n, workers)
    table = np.ascontiguousarray(fields.reshape(3, -1).T)
    at_particles = fields.reshape(3, -1)
    for rows, weights in cloud_in_cell(displacement, side, n):
        at_particles[:, rows] = (weights @ table).T
    return fields


def step_edges(start: float, snapshots: Sequence[float], steps: int) -> list[float]:
    """Scale factors from `start` to the last snapshot, every snapshot among them.

    Steps are even between two snapshots, and nowhere longer than (last - start) / steps.
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
    progress: Callable[[int, int], None] | None = None,
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
        if progress is not None:
            progress(done, len(edges) - 1)
        redshift = by_scale.get(end)
        if redshift is not None:
            velocity = momentum * np.float32(H0 / end)
            yield Snapshot(redshift, side, displacement.copy(), velocity)


def _momentum(a: float) -> float:
    """a^3 E(a) dD/da: momentum a^2 dx/dt [H0 Mpc] of linear growth for 1 Mpc of displacement."""
    return float(a**3 * expansion(a) * growth_rate(a))
