"""Shock elements: gas shocks where streams of dark matter cross.

A particle-mesh box has no gas. Its streams cross first on caustics, the surfaces on which the
determinant J of dx/dq changes sign. They are found on the grid that the particles started from, far
finer than any mesh in space, and are tiled by quadrilaterals that share their corners.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cosmodeep_hpc.sky.mesh import Field, deposit, read
from cosmodeep_hpc.sky.nbody import Snapshot

MACH_RANGE = (1.3, 30.0)
"""Smallest and largest Mach number of an element (lower end: Vazza et al. 2009)."""
FORCE_SOFTENING = 0.5
"""Softening of the mesh's force, as the sigma of a Gaussian [cell]: halos of one mass are then as
dense in boxes of any cell (docs/sky.md)."""
LEAST_SMOOTHING = 1.25
"""Least sigma with which displacements are smoothed [cell of the particles' grid]."""
KEV_PER_DISPERSION = 6.27e-6
"""Temperature k T [keV] of gas with a velocity dispersion of 1 km/s an axis (mean mass 0.6)."""


@dataclass(frozen=True)
class Elements:
    """A table of shock elements, each a small parallelogram.

    Attributes:
        position: float32 (n, 3), centres, in [0, side) [comoving Mpc].
        first, second: float32 (n, 3), the sides of the parallelograms [comoving Mpc]; the length
            of their cross product is the area, its direction the normal.
        mach: float32 (n,), Mach number.
        overdensity: float32 (n,), downstream density in units of the mean.
        temperature: float32 (n,), downstream temperature k T [keV].
        field: float32 (n,), magnetic field B [uG, proper]; NaN where the simulation has none:
            `emission.with_field` fills it in.
        halo: int32 (n,), row of the halo that it lies in, in the snapshot's table; -1 for none.
    """

    position: Field
    first: Field
    second: Field
    mach: Field
    overdensity: Field
    temperature: Field
    field: Field
    halo: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.mach)

    def __getitem__(self, rows: Any) -> Elements:
        """Return the elements chosen by a mask, a slice or numbers."""
        return Elements(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def area(self) -> Field:
        """Areas [comoving Mpc^2], float32 (n,)."""
        return np.asarray(np.linalg.norm(np.cross(self.first, self.second), axis=1))


def refine(field: Field, smoothing: float, factor: int, workers: int = 1) -> Field:
    """Smooth a periodic field by a Gaussian and interpolate it on a finer grid, by FFT.

    Args:
        field: float32 (n, n, n).
        smoothing: sigma of the Gaussian [cells of the field].
        factor: points of the finer grid for one of the field, along an axis.
        workers: threads of the FFT; no influence on the result.

    Returns:
        float32 (n factor, n factor, n factor); point (0, 0, 0) stays where it was.
    """
    n = len(field)
    transform = scipy.fft.rfftn(field, workers=workers)
    frequency = [np.fft.fftfreq(n), np.fft.fftfreq(n), np.fft.rfftfreq(n)]
    for axis, f in enumerate(frequency):
        shape = [1, 1, 1]
        shape[axis] = -1
        taper = np.exp(-2 * (np.pi * smoothing * f) ** 2)
        taper[np.abs(f) == 0.5] = 0  # a wave at the Nyquist frequency has no unique interpolation
        transform *= taper.reshape(shape).astype(np.float32)
    if factor == 1:
        return scipy.fft.irfftn(transform, s=(n,) * 3, workers=workers)  # type: ignore[no-any-return]
    m, half = n * factor, n // 2
    padded = np.zeros((m, m, m // 2 + 1), transform.dtype)
    near, far = slice(0, half), slice(-half, None)
    for i in (near, far):
        for j in (near, far):
            padded[i, j, :half] = transform[i, j, :half]
    padded *= np.float32(factor**3)
    return scipy.fft.irfftn(padded, s=(m,) * 3, workers=workers)  # type: ignore[no-any-return]


def jacobian(displacement: Field, spacing: float) -> Field:
    """Return the determinant of dx/dq by central differences.

    Args:
        displacement: float32 (3, m, m, m), periodic [Mpc].
        spacing: of the grid [Mpc].

    Returns:
        float32 (m, m, m); 1 where nothing moved, negative after an odd number of flips.
    """
    m = displacement.shape[1]
    result = np.empty((m, m, m), np.float32)
    planes = 16
    scale = np.float32(0.5 / spacing)
    for start in range(0, m, planes):
        stop = min(start + planes, m)
        rows = np.arange(start - 1, stop + 1) % m
        block = displacement[:, rows]
        inner = block[:, 1:-1]
        d = np.empty((3, 3, stop - start, m, m), np.float32)  # [component, axis]
        d[:, 0] = block[:, 2:] - block[:, :-2]
        d[:, 1, :, 1:-1] = inner[:, :, 2:] - inner[:, :, :-2]
        d[:, 1, :, 0] = inner[:, :, 1] - inner[:, :, -1]
        d[:, 1, :, -1] = inner[:, :, 0] - inner[:, :, -2]
        d[:, 2, ..., 1:-1] = inner[..., 2:] - inner[..., :-2]
        d[:, 2, ..., 0] = inner[..., 1] - inner[..., -1]
        d[:, 2, ..., -1] = inner[..., 0] - inner[..., -2]
        d *= scale
        for axis in range(3):
            d[axis, axis] += 1
        result[start:stop] = (
            d[0, 0] * (d[1, 1] * d[2, 2] - d[1, 2] * d[2, 1])
            - d[0, 1] * (d[1, 0] * d[2, 2] - d[1, 2] * d[2, 0])
            + d[0, 2] * (d[1, 0] * d[2, 1] - d[1, 1] * d[2, 0])
        )
    return result


def caustics(displacement: Field, spacing: float) -> tuple[Field, Field, Field]:
    """Return the surface J = 0 in space, as quadrilaterals.

    The surface pierces every edge of the grid whose ends have J of opposite signs, and each such
    edge gets a quadrilateral. Its corners lie in the four cells around the edge, each at the mean
    of the points in which the surface pierces its cell's edges. Neighbours share corners: the
    surface is closed.

    Args:
        displacement: float32 (3, m, m, m), periodic [Mpc].
        spacing: of the grid [Mpc].

    Returns:
        Centres (n, 3), not wrapped, and the two middle lines (n, 3), (n, 3) of the quadrilaterals
        [Mpc], float32. The cross product of the middle lines is the vector area.
    """
    m = displacement.shape[1]
    j = jacobian(displacement, spacing)
    negative = j < 0
    j = j.ravel()
    s = displacement.reshape(3, -1)
    edges = []
    for axis in range(3):
        pierced = np.flatnonzero(negative != np.roll(negative, -1, axis))
        ahead = _neighbour(pierced, axis, 1, m)
        t = j[pierced] / (j[pierced] - j[ahead])
        point = (1 - t) * s[:, pierced] + t * s[:, ahead]
        point[axis] += t * np.float32(spacing)  # relative to the edge's first grid point in q
        edges.append((pierced, point))
    del j, negative

    used = np.zeros(m**3, bool)
    around = []  # of each axis: its edges' four cells in turn, and their offsets in q
    for axis, (pierced, _) in enumerate(edges):
        b, c = (axis + 1) % 3, (axis + 2) % 3
        back = _neighbour(pierced, b, -1, m)
        cells = [_neighbour(back, c, -1, m), _neighbour(pierced, c, -1, m), pierced, back]
        offsets = np.zeros((4, 3), np.float32)
        offsets[[0, 3], b] = offsets[[0, 1], c] = -spacing
        around.append((cells, offsets))
        for cell in cells:
            used[cell] = True
    number = np.cumsum(used, dtype=np.int32) - 1
    total = int(used.sum())
    del used
    corners = np.zeros((3, total))
    count = np.zeros(total)
    for (_, point), (cells, offsets) in zip(edges, around, strict=True):
        for cell, offset in zip(cells, offsets, strict=True):
            where = number[cell]
            count += np.bincount(where, minlength=total)
            for x in range(3):
                corners[x] += np.bincount(where, point[x] - offset[x], minlength=total)
    corners /= np.maximum(count, 1)

    parts: tuple[list[Field], list[Field], list[Field]] = ([], [], [])
    for (pierced, _), (cells, offsets) in zip(edges, around, strict=True):
        v = [
            corners[:, number[cell]].T + offset for cell, offset in zip(cells, offsets, strict=True)
        ]
        origin = np.stack(np.unravel_index(pierced, (m,) * 3), 1) * spacing
        parts[0].append((origin + 0.25 * (v[0] + v[1] + v[2] + v[3])).astype(np.float32))
        parts[1].append((0.5 * (v[1] + v[2] - v[0] - v[3])).astype(np.float32))
        parts[2].append((0.5 * (v[2] + v[3] - v[0] - v[1])).astype(np.float32))
    centre, first, second = (np.concatenate(part) for part in parts)
    return centre, first, second


def _neighbour(index: NDArray[Any], axis: int, step: int, m: int) -> NDArray[Any]:
    """Return the numbers of the grid points `step` (1 or -1) further along a periodic axis."""
    stride = m ** (2 - axis)
    along = index // stride % m
    wraps = along == (m - 1 if step > 0 else 0)
    return np.asarray(index + step * stride - step * m * stride * wraps)


def mach_number(ratio: NDArray[Any]) -> NDArray[Any]:
    """Return a shock's Mach number from its velocity jump over the downstream sound speed.

    For a gas with a ratio of heat capacities of 5/3, v_up - v_down = 3/4 c_up (M - 1/M) and T_down
    / T_up = (5 M^2 - 1) (M^2 + 3) / (16 M^2), so that the ratio is 3 (M^2 - 1) / sqrt((5 M^2 -
    1)(M^2 + 3)): 0 for no shock, and below 3 / sqrt(5) however strong it is. Larger ratios give the
    largest Mach number of MACH_RANGE.
    """
    limit = MACH_RANGE[1] ** 2
    strongest = 9 * (limit - 1) ** 2 / ((5 * limit - 1) * (limit + 3))
    square = np.minimum(np.square(ratio, dtype=np.float64), strongest)
    a, b, c = 9 - 5 * square, 9 + 7 * square, 9 + 3 * square
    return np.asarray(np.sqrt((b + np.sqrt(b * b - a * c)) / a))


@dataclass(frozen=True)
class Flow:
    """The state of the matter on a mesh, smoothed to one comoving scale whatever the mesh.

    Attributes:
        overdensity: float32 (n, n, n), density in units of the mean.
        dispersion: float32 (n, n, n), one-dimensional velocity dispersion [km/s].
        jump: float32 (n, n, n), change of the peculiar velocity across a front at this place, from
            its convergence -div v on the scale [km/s].
    """

    overdensity: Field
    dispersion: Field
    jump: Field


def reading(scale: float, cell: float) -> tuple[float, float]:
    """Return how to smooth a field of a mesh to a scale [comoving Mpc].

    A particle mesh itself smooths with the softening of its force and with the cloud-in-cell
    windows of deposit and reading, each of variance cell^2 / 6. If that exceeds the scale, hardly
    any smoothing remains to be done.

    Returns:
        sigma of the remaining smoothing, and sigma in total.
    """
    done = (FORCE_SOFTENING**2 + 2 / 6) * cell**2
    left = max(scale**2 - done, 0.01 * cell**2)
    return float(np.sqrt(left)), float(np.sqrt(left + done))


def flow(snapshot: Snapshot, mesh: int, scale: float) -> Flow:
    """Return density, velocity dispersion and convergence of the flow on a mesh.

    Args:
        snapshot: the particles.
        mesh: cells along a side.
        scale: comoving sigma to which they are smoothed, see `reading` [Mpc].
    """
    cell = snapshot.side / mesh
    width, sigma = reading(scale, cell)

    def smooth(values: Field | None) -> Field:
        field = deposit(snapshot.displacement, snapshot.side, mesh, values)
        return gaussian_filter(field, width / cell, mode="wrap")  # type: ignore[no-any-return]

    density = smooth(None)
    weight = 1 / np.maximum(density, 1e-3)
    convergence = np.zeros_like(density)
    square = smooth(np.asarray(np.sum(snapshot.velocity**2, axis=0, dtype=np.float32))) * weight
    for axis in range(3):
        mean = smooth(snapshot.velocity[axis]) * weight
        square -= mean**2
        convergence -= np.roll(mean, -1, axis) - np.roll(mean, 1, axis)
    # A jump seen through a Gaussian has the slope jump / (sqrt(2 pi) sigma) at its middle; the
    # difference across two cells averages it over them, a variance of cell^2 / 3.
    seen = np.sqrt(2 * np.pi) * np.hypot(sigma, cell / np.sqrt(3))
    convergence *= np.float32(0.5 / cell * seen)
    return Flow(density, np.sqrt(np.maximum(square / 3, 1e-3)), convergence)


def shock_elements(
    snapshot: Snapshot,
    *,
    smoothing: float = 1.0,
    factor: int = 1,
    scale: float = 1.0,
    stretch: float = 3.0,
    workers: int = 1,
) -> Elements:
    """Return the shock elements of a particle-mesh box.

    Args:
        snapshot: particles on the grid they started from.
        smoothing: sigma of the Gaussian that smooths their displacement first [comoving Mpc];
            LEAST_SMOOTHING cells at least.
        factor: points of the grid on which caustics are sought for one particle, along an axis.
        scale: comoving sigma to which density, temperature and jump are smoothed [Mpc].
        stretch: longest side of an element [comoving Mpc]; longer ones, which bridge a region that
            the grid does not resolve, are dropped.
        workers: threads of the FFT; no influence on the result.

    Returns:
        The elements with a Mach number in MACH_RANGE; the flow across them converges, or diverges
        by less than about a third of the sound speed.
    """
    n = snapshot.displacement.shape[1]
    side = snapshot.side
    width = max(smoothing * n / side, LEAST_SMOOTHING)
    fine = np.stack([refine(s, width, factor, workers) for s in snapshot.displacement])
    position, first, second = caustics(fine, side / (n * factor))
    del fine
    longest = np.float32(stretch**2)
    kept = np.flatnonzero(
        (np.sum(first**2, axis=1) < longest) & (np.sum(second**2, axis=1) < longest)
    )
    first, second = first[kept], second[kept]
    position = np.asarray(np.mod(position[kept], np.float32(side)))
    position[position >= side] = 0  # a rounded remainder
    state = flow(snapshot, n, scale)

    def at(field: Field) -> Field:
        return read(field, position, side)

    dispersion = at(state.dispersion)
    sound = np.float32(np.sqrt(5 / 3)) * dispersion
    jump = at(state.jump)
    jump = np.float32(0.5) * (jump + np.hypot(jump, sound))
    mach = mach_number(jump / sound).astype(np.float32)
    temperature = np.float32(KEV_PER_DISPERSION) * dispersion**2
    shocked = np.flatnonzero(mach >= MACH_RANGE[0])
    field = np.full(len(mach), np.nan, np.float32)
    halo = np.full(len(mach), -1, np.int32)
    density = at(state.overdensity)
    return Elements(position, first, second, mach, density, temperature, field, halo)[shocked]
