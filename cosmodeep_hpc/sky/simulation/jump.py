"""Jump conditions of a shock in a gas with 5 heat capacities in 3 (Rankine and Hugoniot)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def temperature_ratio(mach: ArrayLike) -> Any:
    """T_down / T_up = (5 M^2 - 1) (M^2 + 3) / (16 M^2)."""
    square = np.square(mach, dtype=np.float64)
    return (5 * square - 1) * (square + 3) / (16 * square)


def density_ratio(mach: ArrayLike) -> Any:
    """rho_down / rho_up = 4 M^2 / (M^2 + 3): 4 at most."""
    square = np.square(mach, dtype=np.float64)
    return 4 * square / (square + 3)


def mach_of_temperature(ratio: ArrayLike) -> Any:
    """The inverse of `temperature_ratio`; 1 where the temperature does not rise."""
    b = 8 * np.maximum(np.asarray(ratio, np.float64), 1) - 7
    return np.sqrt((b + np.sqrt(b * b + 15)) / 5)


def mach_of_velocity(jump: ArrayLike) -> Any:
    """Mach number of a velocity jump in units of the upstream speed of sound, 3/4 (M - 1/M).

    1 where the flow does not converge.
    """
    x = 2 / 3 * np.maximum(np.asarray(jump, np.float64), 0)
    return x + np.sqrt(x * x + 1)
