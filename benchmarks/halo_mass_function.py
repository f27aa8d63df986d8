"""Halos of particle-mesh boxes against the mass function of Tinker et al. (2008).

`python -m benchmarks.halo_mass_function --mesh 128 --sides 50 100 200 --seeds 1 2 3` makes the
tables of docs/halos.md: for each side and redshift, the halos above a mass, in all boxes together,
in units of what is expected of them; as measured, and with their final masses. Nothing is written.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict

import numpy as np

from cosmodeep_hpc.sky import halos, nbody
from cosmodeep_hpc.sky.massfunction import mass_above, number_density, radius_of
from cosmodeep_hpc.sky.spheres import spheres

MASSES = 10 ** np.array([12.5, 13.0, 13.5, 14.0, 14.5])
RADII = (0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 5.0)


def ratios(masses: list[np.ndarray], side: float, redshift: float) -> str:
    """Return halos above each of MASSES in units of the expected number, and the number itself."""
    text = []
    for limit in MASSES:
        found = sum(np.count_nonzero(mass > limit) for mass in masses)
        expected = len(masses) * side**3 * number_density(limit, redshift)
        text.append(f"{found / expected:5.2f} ({found})" if expected >= 1 else "-")
    return " ".join(f"{entry:>14}" for entry in text)


def offsets(inner: np.ndarray, side: float, cell: float, redshift: float) -> np.ndarray:
    """Return log10 of the k-th measured mass over the k-th expected one, and R100 there [cell]."""
    mass = np.sort(inner[inner > 0])[::-1]
    expected = mass_above((np.arange(len(mass)) + 0.5) / side**3, redshift)
    return np.stack([radius_of(expected, redshift) / cell, np.log10(mass / expected)])


def main() -> None:
    """Simulate, find, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mesh", type=int, default=128)
    parser.add_argument("--steps", type=int, default=36)
    parser.add_argument("--sides", type=float, nargs="+", default=[50.0, 100.0, 200.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--redshifts", type=float, nargs="+", default=[0.45, 0.2, 0.05])
    options = parser.parse_args()
    inner, final, by_radius = defaultdict(list), defaultdict(list), defaultdict(list)
    for side in options.sides:
        for seed in options.seeds:
            begin = time.process_time()
            linear = nbody.initial_displacement(seed, options.mesh, side)
            for snapshot in nbody.evolve(linear, side, options.redshifts, steps=options.steps):
                box = time.process_time() - begin
                found = spheres(snapshot)
                key = side, snapshot.redshift
                inner[key].append(found.inner)
                final[key].append(halos.matched(found).mass)
                by_radius[snapshot.redshift].append(
                    offsets(found.inner, side, found.cell, snapshot.redshift)
                )
                spent = time.process_time() - begin - box
                print(
                    f"side {side:g}, seed {seed}, redshift {snapshot.redshift:g}: "
                    f"{len(found)} spheres, {len(final[key][-1])} halos, {spent:.1f} s; "
                    f"simulated in {box:.0f} s",
                    flush=True,
                )
    print(f"\nlog10 mass above     {' '.join(f'{np.log10(m):14.1f}' for m in MASSES)}")
    for side, redshift in inner:
        for name, masses in (("measured", inner), ("final", final)):
            line = ratios(masses[side, redshift], side, redshift)
            print(f"{side:5g} Mpc {redshift:4g} {name:9}{line}")
    print("\nmean log10 of the measured over the expected mass, by the expected R100 in cells")
    for redshift, parts in by_radius.items():
        radius, offset = np.concatenate(parts, axis=1)
        line = []
        for low, high in zip(RADII[:-1], RADII[1:], strict=True):
            here = (radius >= low) & (radius < high)
            if here.any():
                line.append(f"{low}-{high}: {offset[here].mean():.2f} ({here.sum()})")
        print(f"redshift {redshift:g}: " + ", ".join(line))
    print(f"\nmost memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
