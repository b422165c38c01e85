"""Serial kernels over chunks of genes, in threads: they release the interpreter lock.

Why not numba's prange: a parallel kernel is compiled, linked and optimised three times over, which more than doubled
the time of the first fit, and its static schedule waits for the slowest half of the genes. Every gene is written by
itself, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

One = TypeVar("One")
Result = TypeVar("Result")

CHUNKS_PER_THREAD = 8
SMALLEST_CHUNK = 64

_threads = 0  # 0: as many as this process may use


def set_threads(n: int) -> None:
    """Let the kernels use n threads; 0 means as many as this process may use."""
    global _threads  # noqa: PLW0603 - one setting for the process, like numba's own
    _threads = max(0, n)


def threads() -> int:
    """The number of threads that the kernels use."""
    if _threads:
        return _threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_genes(kernel: Any, n: int, *arguments: object, smallest: int = SMALLEST_CHUNK) -> None:
    """Call kernel(first, last, *arguments) for chunks of at least `smallest` that cover range(n)."""
    chunk = max(smallest, -(-n // (threads() * CHUNKS_PER_THREAD)))
    if threads() == 1 or n <= chunk:
        kernel(0, n, *arguments)
        return
    if not kernel.signatures:
        kernel(0, 0, *arguments)  # compile once, not in several threads
    with ThreadPoolExecutor(threads()) as pool:
        for task in [pool.submit(kernel, i, min(i + chunk, n), *arguments) for i in range(0, n, chunk)]:
            task.result()


def each(function: Callable[[One], Result], items: Iterable[One]) -> list[Result]:
    """The function of every item, in order, in as many threads as the kernels use."""
    if threads() == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(function, items))
