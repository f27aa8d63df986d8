"""Headers of distorted images, several degrees wide: SIP and TPV, plain or turned."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits

SHAPE = (410, 490)  # the last cells are cut
PIXEL = 36.0  # [arcsec]: 4.1 by 4.9 degrees
TURN = 0.4  # [rad]

SIP = {
    **{"A_ORDER": 3, "A_2_0": 1.5e-4, "A_1_1": -4e-5, "A_0_2": 2e-5, "A_3_0": 2e-7, "A_1_2": 1e-7},
    **{"B_ORDER": 2, "B_2_0": -2e-5, "B_1_1": 5e-5, "B_0_2": -9e-5},
    **{"AP_ORDER": 2, "AP_2_0": -1.5e-4, "AP_1_1": 4e-5, "AP_0_1": 1e-6},
    **{"BP_ORDER": 2, "BP_2_0": 2e-5, "BP_0_2": 9e-5},
}
"""Shifts corners by some ten pixels."""
TPV = {
    **{"PV1_0": 0.01, "PV1_1": 1.03, "PV1_2": 0.004, "PV1_4": 0.012, "PV1_5": -0.008},
    **{"PV1_6": 0.003, "PV1_7": 0.002, "PV1_9": 0.001},
    **{"PV2_0": -0.02, "PV2_1": 0.98, "PV2_2": -0.005, "PV2_4": -0.009, "PV2_7": 0.002},
}


def distorted(kind: str, turn: str = "CD", terms: dict[str, Any] | None = None) -> fits.Header:
    """A header of two axes: kind `SIP`, `TPV`, or `TAN` with neither.

    Args:
        turn: turned by `TURN` as `CD`, as `PC` with CDELT, as `CROTA`, or as `DEGREES`, which is PC
            and CDELT of 1; or `CDELT`, not turned.
        terms: in place of those above.
    """
    ny, nx = SHAPE
    step, c, s = PIXEL / 3600, np.cos(TURN), np.sin(TURN)
    tail = {"SIP": "TAN-SIP"}.get(kind, kind)
    cards = {
        "CTYPE1": f"RA---{tail}",
        "CTYPE2": f"DEC--{tail}",
        "CRVAL1": 150.0,
        "CRVAL2": -35.0,
        "CRPIX1": 0.52 * nx,
        "CRPIX2": 0.44 * ny,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "RADESYS": "ICRS",
        "BMAJ": 2.5 * PIXEL / 3600,
        "BMIN": 2.5 * PIXEL / 3600,
        "BPA": 0.0,
        "BUNIT": "Jy/beam",
    }
    matrix = {"1_1": -step * c, "1_2": step * s, "2_1": step * s, "2_2": step * c}
    if turn in ("CD", "DEGREES"):
        cards |= {f"{'CD' if turn == 'CD' else 'PC'}{at}": part for at, part in matrix.items()}
    else:
        cards |= {"CDELT1": -step, "CDELT2": step}
    if turn == "PC":
        cards |= {"PC1_1": c, "PC1_2": -s, "PC2_1": s, "PC2_2": c}
    if turn == "CROTA":
        cards |= {"CROTA2": np.rad2deg(TURN)}
    return fits.Header(cards | ({"SIP": SIP, "TPV": TPV}.get(kind, {}) if terms is None else terms))
