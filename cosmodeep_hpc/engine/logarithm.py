"""The natural logarithm of float32 numbers, with the same bits on every processor.

NumPy's float32 logarithm takes 4 ns a number and has other last bits on other processors. This one
is a polynomial of additions and multiplications alone, which compilers turn into vector
instructions. Its error is below 1.5e-7 of the result, or of 1.

Source of the polynomial: S. L. Moshier, Cephes library, logf.
"""

from __future__ import annotations

import numpy as np

from cosmodeep_hpc.engine.jit import jit

ROOT_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1/2)
FRACTION = np.int32(23)  # bits of a float32's fraction
C0, C1, C2 = np.float32(7.0376836292e-2), np.float32(-1.1514610310e-1), np.float32(1.1676998740e-1)
C3, C4, C5 = np.float32(-1.2420140846e-1), np.float32(1.4249322787e-1), np.float32(-1.6668057665e-1)
C6, C7, C8 = np.float32(2.0000714765e-1), np.float32(-2.4999993993e-1), np.float32(3.3333331174e-1)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
HALF, ONE = np.float32(0.5), np.float32(1)


@jit
def logarithm(x):  # type: ignore[no-untyped-def]
    """Return the natural logarithm of a positive, normal float32."""
    bits = np.float32(x).view(np.int32)
    # x = m 2^exponent, m between sqrt(1/2) and sqrt(2)
    exponent = np.int32(np.int32(bits - ROOT_HALF) >> FRACTION)
    f = np.int32(bits - (exponent << FRACTION)).view(np.float32) - ONE
    power = np.float32(exponent)
    p = ((((C0 * f + C1) * f + C2) * f + C3) * f + C4) * f + C5
    p = ((p * f + C6) * f + C7) * f + C8
    square = f * f
    tail = f * square * p + LN2_LOW * power - HALF * square
    return (f + tail) + LN2_HIGH * power
