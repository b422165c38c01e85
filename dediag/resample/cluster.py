"""Blocks of refits on other machines: the workers of a dask scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dediag.cohort import InputError
from dediag.resample.cache import CODE
from dediag.resample.workers import Lost, Part, compute, refuse_other_code, until_done

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import ArrayLike

    from dediag.model.nbfit import NBFit
    from dediag.resample.plans import Plan
    from dediag.resample.refit import Block

CONNECT_SECONDS = 5.0
WORKERS_SECONDS = 60.0  # a scheduler may be left without workers for, while others start
LOOK_SECONDS = 2.0  # how often it is asked whether there are any


class Cluster:
    """The workers of a dask scheduler; each computes one block at a time with all its threads.

    The fit is sent to each worker once. A worker that is killed loses nothing: its blocks are given to others.
    """

    def __init__(self, address: str) -> None:
        """Connect at once, so that an address that does not answer is known before anything is computed."""
        self.address = address
        self._client: Any = None
        self._fit: tuple[NBFit, Any] | None = None  # as it lies on the workers
        self._connected()

    def blocks(self, plan: Plan, fit: NBFit, size_factors: str | ArrayLike, parts: Sequence[Part]) -> Generator[Block]:
        """Compute these parts of a plan; those of a worker that was killed are given to others."""
        yield from until_done(parts, lambda missing: self._run(plan, fit, size_factors, missing))

    def _run(
        self, plan: Plan, fit: NBFit, size_factors: str | ArrayLike, parts: Sequence[Part]
    ) -> Iterator[Block]:  # fmt: skip
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        try:
            client = self._connected()
        except InputError as error:
            raise Lost(str(error)) from error
        pending: dict[Any, Part] = {}
        try:
            if self._fit is None or self._fit[0] is not fit:
                self._fit = fit, client.scatter(fit, broadcast=True, hash=False)
            shared = client.scatter(plan, broadcast=True, hash=False), self._fit[1], size_factors
            finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
            for part in parts:
                future = client.submit(_checked_and_computed, CODE, *shared, part, pure=False)
                pending[future] = part
                future.add_done_callback(finished.put)
            while pending:
                future = self._next(finished)
                yield future.result()
                del pending[future]
        except (CancelledError, KilledWorker, CommClosedError, OSError) as error:
            self._fit = None  # it may be lost with its workers
            raise Lost(f"the workers of {self.address} were lost ({type(error).__name__})") from error
        finally:
            if pending:
                with contextlib.suppress(Exception):  # whatever ended us is more interesting
                    client.cancel(list(pending), force=True)

    def _next(self, finished: queue.SimpleQueue[Any]) -> Any:
        """The next future that is done; raises Lost where there have been no workers for a while."""
        last_seen = time.monotonic()
        while True:
            try:
                return finished.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._client.nthreads():
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > WORKERS_SECONDS:
                    raise Lost(f"the scheduler {self.address} has no workers any more") from None

    def _connected(self) -> Any:
        """The client; InputError where the scheduler does not answer, has no workers, or they cannot do it."""
        if self._client is not None and self._client.status == "running":
            return self._client
        try:
            from distributed import Client
        except ImportError:
            raise InputError('a scheduler needs dask, which is not installed: pip install "dediag[dask]"') from None
        self.close()
        _refuse_what_does_not_answer(self.address)
        self._client = Client(self.address, timeout=CONNECT_SECONDS, set_as_default=False)
        try:
            self._refuse_workers()
        except InputError:
            self.close()
            raise
        return self._client

    def _refuse_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise InputError(
                f"scheduler: {self.address} has no workers; start some: dask worker {self.address}"
            ) from None
        for worker, found in self._client.run(refuse_other_code, CODE, on_error="return").items():
            if isinstance(found, InputError):
                raise found
            if isinstance(found, ImportError):
                raise InputError(f"scheduler: the worker {worker} cannot run this dediag ({found}); install it there")

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close(timeout=CONNECT_SECONDS)
        self._client = self._fit = None


def _checked_and_computed(
    code: str, plan: Plan, fit: NBFit, size_factors: str | ArrayLike, part: Part
) -> Block:  # fmt: skip
    from distributed import get_worker

    from dediag.model.kernels import set_threads

    refuse_other_code(code)  # a worker may have joined since
    set_threads(get_worker().state.nthreads)
    return compute(plan, fit, size_factors, part)


def _refuse_what_does_not_answer(address: str) -> None:
    """Raise InputError where no scheduler is; asked by ourselves, as a client waits for ever on a port that is mute."""
    from distributed.core import rpc

    async def ask() -> str:
        async with rpc(address) as scheduler:
            return str((await scheduler.identity())["type"])

    def limited() -> str:
        return asyncio.run(asyncio.wait_for(ask(), CONNECT_SECONDS))

    try:
        with ThreadPoolExecutor(1) as outside:  # of an event loop that may run here, as in a notebook
            kind = outside.submit(limited).result()
    except ValueError as error:
        raise InputError(f"scheduler: '{address}' is no address such as tcp://host:8786: {error}") from None
    except Exception:  # whatever else lies behind, it is no scheduler
        kind = ""
    if kind != "Scheduler":
        raise InputError(
            f"scheduler: no dask scheduler answers at {address} within {CONNECT_SECONDS:g} seconds; "
            "start it (dask scheduler), or mend the address"
        )
