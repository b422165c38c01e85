"""Logarithms without branches or calls, so that loops over samples become vector instructions (four times as quick).

The approximation is that of fdlibm's e_log.c (error below one unit in the last place), written for 64-bit patterns.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dediag.model.kernels.compilation import inlined

LANES = 8  # samples are padded to a multiple of this, so that no loop has a remainder

LN_2_HIGH, LN_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD  # of the double nearest to sqrt(1/2)
MANTISSA_BITS = 52
BIAS = 2048  # makes any exponent positive
TWO_52_BITS, TWO_52 = 0x4330000000000000, 4503599627370496.0  # a double of this exponent counts in its lowest bit
C1, C2, C3, C4 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01
C5, C6, C7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01


@intrinsic
def _bits(typing_context: Any, x: Any) -> Any:  # noqa: ARG001 - numba's signature
    """The pattern of a double as an integer."""
    return types.int64(types.float64), lambda _, builder, __, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def _double(typing_context: Any, pattern: Any) -> Any:  # noqa: ARG001 - numba's signature
    """The double of a pattern."""
    return types.float64(types.int64), lambda _, builder, __, args: builder.bitcast(args[0], ir.DoubleType())


@inlined
def log(x):
    """log x of a normal positive double."""
    exponent = (_bits(x) - SQRT_HALF_BITS) >> MANTISSA_BITS
    f = _double(_bits(x) - (exponent << MANTISSA_BITS)) - 1.0  # x = 2^exponent (1 + f), sqrt(1/2) <= 1 + f < sqrt(2)
    k = _double((exponent + BIAS) | TWO_52_BITS) - (TWO_52 + BIAS)
    s = f / (2.0 + f)
    z = s * s
    rest = z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * (C6 + z * C7))))))
    half = 0.5 * f * f
    return k * LN_2_HIGH - ((half - (s * (half + rest) + k * LN_2_LOW)) - f)


@inlined
def log_plus(x):
    """log(1 + x) for x > -1."""
    u = 1.0 + x
    return log(u) + (x - (u - 1.0)) / u
