"""Jump conditions of a shock in a gas with a ratio of heat capacities of 5/3 (Rankine-Hugoniot)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def temperature_ratio(mach: ArrayLike) -> Any:
    """Return T_down / T_up = (5 M^2 - 1) (M^2 + 3) / (16 M^2)."""
    square = np.square(mach, dtype=np.float64)
    return (5 * square - 1) * (square + 3) / (16 * square)


def density_ratio(mach: ArrayLike) -> Any:
    """Return rho_down / rho_up = 4 M^2 / (M^2 + 3), which is at most 4."""
    square = np.square(mach, dtype=np.float64)
    return 4 * square / (square + 3)


def mach_of_temperature(ratio: ArrayLike) -> Any:
    """Return the inverse of `temperature_ratio`; 1 where the temperature does not rise."""
    b = 8 * np.maximum(np.asarray(ratio, np.float64), 1) - 7
    return np.sqrt((b + np.sqrt(b * b + 15)) / 5)


def mach_of_velocity(jump: ArrayLike) -> Any:
    """Return the Mach number of a velocity jump over the upstream sound speed, 3/4 (M - 1/M).

    Return 1 where the flow does not converge.
    """
    x = 2 / 3 * np.maximum(np.asarray(jump, np.float64), 0)
    return x + np.sqrt(x * x + 1)
