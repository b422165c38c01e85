"""Where blocks of refits are computed: in this process, or in worker processes of this machine."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import signal
import threading
import time
import warnings
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from dediag.cohort import InputError
from dediag.resample.cache import CODE, Cache
from dediag.resample.refit import Block, refit_block

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from dediag.model.nbfit import NBFit
    from dediag.resample.plans import Kept, Plan

ATTEMPTS = 3  # without one finished block, before workers that die are given up
LARGE = 1_000_000  # bytes from which an array is shared by the workers of a machine, not copied to each
OBJECTS_HELD = 4  # by a worker: the fit, and the latest plans


class WorkersLost(InputError):  # noqa: N818 - an InputError by another name
    """The workers cannot go on, which only the user can mend; no diagnostic has failed."""


class Part(NamedTuple):
    """A block that is wanted: refits first to last - 1 of a plan."""

    first: int
    last: int
    kept: bool  # with what the plan keeps of each gene, or summaries only

    def keeps(self, plan: Plan) -> tuple[Kept, ...]:
        """What this block keeps of each refit and gene."""
        return plan.keep if self.kept else ()


class Workers(Protocol):
    """Whoever computes blocks."""

    def blocks(self, plan: Plan, fit: NBFit, size_factors: str | ArrayLike, parts: Sequence[Part]) -> Generator[Block]:
        """Compute these parts of a plan; each block comes as soon as it is finished, in any order."""

    def close(self) -> None:
        """Let go of processes and connections; they come back when blocks are asked for again."""


class InProcess:
    """Computes one block after the other in this process, whose kernels use its threads."""

    def blocks(self, plan: Plan, fit: NBFit, size_factors: str | ArrayLike, parts: Sequence[Part]) -> Generator[Block]:
        """Compute these parts of a plan in their order."""
        for part in parts:
            yield compute(plan, fit, size_factors, part)

    def close(self) -> None:
        """Nothing is held."""


class Processes:
    """Worker processes by joblib, one kernel thread each: its loky backend, or what `joblib.parallel_config` names.

    loky starts fresh interpreters (nothing is forked). The fit is sent to each worker once.
    """

    def __init__(self, n: int) -> None:
        """Use n processes; as joblib counts, -1 is one for each core."""
        self.n = n
        self._fit: tuple[NBFit, Parcel] | None = None

    def blocks(self, plan: Plan, fit: NBFit, size_factors: str | ArrayLike, parts: Sequence[Part]) -> Generator[Block]:
        """Compute these parts of a plan; those of a worker that was killed are given to others."""
        if self._fit is None or self._fit[0] is not fit:
            self._fit = fit, Parcel.of(fit)
        shared = (os.getpid(), Parcel.of(plan), self._fit[1], size_factors)
        yield from until_done(parts, lambda missing: self._run(shared, missing))

    def _run(self, shared: tuple[int, Parcel, Parcel, str | ArrayLike], parts: Sequence[Part]) -> Iterator[Block]:
        from joblib import Parallel, delayed

        run = Parallel(n_jobs=self.n, return_as="generator_unordered", batch_size=1, max_nbytes=LARGE)
        found = run(delayed(_unpacked_and_computed)(*shared, part) for part in parts)
        try:
            for block in found:  # noqa: UP028 - `yield from` would close `found` where its warnings are shown
                yield block
        except BrokenExecutor as error:
            raise Lost("a worker process was killed, perhaps for want of memory; use fewer") from error
        finally:
            with warnings.catch_warnings():  # that not all was used, where we were interrupted
                warnings.simplefilter("ignore")
                found.close()

    def close(self) -> None:
        """End the processes."""
        if self._fit is None:
            return
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor(reuse=True).shutdown(wait=True)
        self._fit = None


class Lost(Exception):  # noqa: N818 - seen by `until_done` only
    """Workers have died, for the reason that the text says."""


def until_done(parts: Sequence[Part], run: Callable[[Sequence[Part]], Iterator[Block]]) -> Generator[Block]:
    """Blocks of all parts, however often workers die on the way; WorkersLost where nothing is finished any more."""
    missing = {part.first: part for part in parts}
    failures = 0
    while missing:
        try:
            with contextlib.closing(run(list(missing.values()))) as blocks:  # type: ignore[type-var]  # a generator
                for block in blocks:
                    del missing[block.first]
                    failures = 0
                    yield block
        except Lost as error:
            failures += 1
            if failures == ATTEMPTS:
                raise WorkersLost(
                    f"{error}\nfinished refits are kept: the same command goes on where it was"
                ) from error


def compute(plan: Plan, fit: NBFit, size_factors: str | ArrayLike, part: Part) -> Block:
    """The block itself, in whatever process this is."""
    keep = part.keeps(plan)
    wanted = plan if keep == plan.keep else replace(plan, keep=keep)
    return refit_block(wanted, fit, size_factors, part.first, part.last)


def refuse_other_code(code: str) -> None:
    """Raise WorkersLost in a worker whose dediag is not the one that asks: its numbers may be others."""
    if code != CODE:
        raise WorkersLost(
            "a worker has another version of dediag, numpy, scipy or numba than this machine\n"
            "install the same ones everywhere"
        )


@dataclass(frozen=True, eq=False)
class Parcel:
    """An object as bytes, which each worker unpacks once; equal to itself only, here and in every copy."""

    name: str
    content: NDArray[np.uint8]
    large: tuple[NDArray[np.uint8], ...]  # buffers of its large arrays

    @classmethod
    def of(cls, content: object) -> Parcel:
        """Pack an object; its large arrays are not copied."""
        large: list[NDArray[np.uint8]] = []

        def inside(buffer: pickle.PickleBuffer) -> bool:
            if buffer.raw().nbytes < LARGE:
                return True
            large.append(np.frombuffer(buffer.raw(), np.uint8))
            return False

        packed = pickle.dumps(content, protocol=5, buffer_callback=inside)
        return cls(secrets.token_hex(16), np.frombuffer(packed, np.uint8), tuple(large))

    def __eq__(self, other: object) -> bool:
        """Whether it is the same parcel."""
        return isinstance(other, Parcel) and other.name == self.name

    def __hash__(self) -> int:
        """By name."""
        return hash(self.name)


@lru_cache(maxsize=OBJECTS_HELD)
def _unpack(parcel: Parcel) -> object:
    return pickle.loads(parcel.content.data, buffers=parcel.large)  # made by Parcel.of, in our parent


def _unpacked_and_computed(
    home: int, plan: Parcel, fit: Parcel, size_factors: str | ArrayLike, part: Part
) -> Block:  # fmt: skip
    if os.getpid() != home:
        _settle(home)
    return compute(_unpack(plan), _unpack(fit), size_factors, part)  # type: ignore[arg-type]  # parcels of these types


@cache
def _settle(home: int) -> None:
    """Once in a worker process: one kernel thread, Ctrl-C is the parent's business, and no life after it."""
    from dediag.model.kernels import set_threads

    set_threads(1)
    if os.getppid() == home:
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with, args=(home,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)  # killed: nobody is there to take the block


@dataclass(frozen=True)
class Execution:
    """Where refits are computed, and the cache of finished ones (None: none)."""

    workers: Workers = field(default_factory=InProcess)
    cache: Cache | None = None


@contextlib.contextmanager
def execution(*, workers: int | None = None, scheduler: str | None = None, cache: bool = True) -> Iterator[Execution]:
    """Open what refits are run with, and close it afterwards.

    workers: processes on this machine. scheduler: address of a dask scheduler, such as tcp://host:8786. Raises
    InputError where both are given, where the scheduler does not answer, or dask is not installed.
    """
    if workers is not None and scheduler is not None:
        raise InputError("workers are either processes of this machine or those of a scheduler; give one of the two")
    chosen: Workers = InProcess()
    if workers is not None:
        chosen = Processes(workers)
    if scheduler is not None:
        from dediag.resample.cluster import Cluster

        chosen = Cluster(scheduler)
    try:
        yield Execution(chosen, Cache.of_user() if cache else None)
    finally:
        chosen.close()
