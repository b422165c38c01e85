"""How the kernels are compiled: what they call from within needs no door to Python, which saves a quarter of the time.

numba lets a callee inherit the fast-math flags of whoever calls it first, unless it has its own: so every one has.
"""

from __future__ import annotations

from numba import njit

# called from other kernels; error_model: a division by zero is infinite or NaN, as in numpy, and needs no branch
_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner = njit(**_INNER, fastmath=False)
inlined = njit(**_INNER, fastmath=False, forceinline=True)
# sums over samples in the lanes of a vector; the terms themselves come from `inlined` functions and keep their order
summing = njit(**_INNER, fastmath={"reassoc", "nsz"})
summing_inlined = njit(**_INNER, fastmath={"reassoc", "nsz"}, forceinline=True)
# copied into the caller before its types are found, where that is quicker to compile than a call
expanded = njit(**_INNER, inline="always")
# called from Python over ranges of genes, with the lock released
kernel = njit(cache=True, nogil=True, error_model="numpy")
