"""Refits in threads of their own, so that what is finished is used while the next ones are computed.

The kernels release the interpreter lock, and what uses refits (figures above all) hardly leaves it: side by side they
keep two cores busy. Two plans run at a time, since between its kernels each has steps that use one core.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Self

from dediag.resample.plans import n_refits
from dediag.resample.workers import InProcess, WorkersLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from dediag.progress import Progress
    from dediag.resample.plans import Plan
    from dediag.resample.workers import Execution


class Stopped(Exception):  # noqa: N818 - a message to the thread, not an error
    """Raised inside the thread where nobody wants the refits any more."""


AT_A_TIME = 2  # plans
PATIENCE = 4.0  # seconds that Ctrl-C and SIGTERM wait for the blocks at hand, so that they are kept
GLANCE = 0.5  # seconds between two looks at what is awaited
THREADS = "refits"  # what the names of the threads begin with


class Aside:
    """Plans that are run in their order, two at a time; close it with `with`, which stops what is not finished.

    Where refits are computed by other processes all plans are run at once, in the calling thread: waiting for
    processes must end with Ctrl-C, and their cores are busy anyway.
    """

    def __init__(
        self,
        run: Callable[[Plan, Progress], object],
        plans: Iterable[Plan],
        execution: Execution | None,
        progress: Progress,
    ) -> None:
        """Begin to run the plans; `run` computes one. The progress is that of all refits, told in their threads."""
        plans = list(plans)
        self.seconds: dict[Plan, float] = {}
        self._done = dict.fromkeys(plans, 0)
        self._total = sum(map(n_refits, plans))
        self._telling = threading.Lock()
        self._run, self._progress = run, progress
        self._stop = threading.Event()
        self._broken: dict[Plan, Exception] = {}
        self._started: dict[Plan, Future[None]] = {}
        self._pool = ThreadPoolExecutor(AT_A_TIME, THREADS)
        alone = execution is not None and not isinstance(execution.workers, InProcess)
        for plan in plans:
            if alone:
                self._compute(plan)
            else:
                self._started[plan] = self._pool.submit(self._compute, plan)

    def _compute(self, plan: Plan) -> None:
        def told(what: str, done: int, total: int) -> None:  # noqa: ARG001 - the progress is that of all plans
            if self._stop.is_set():
                raise Stopped
            with self._telling:
                self._done[plan] = done
                self._progress("refits", sum(self._done.values()), self._total)

        started = time.perf_counter()
        try:
            self._run(plan, told)
        except WorkersLost:
            raise
        except Exception as error:
            self._broken[plan] = error
        with self._telling:
            self._done[plan] = n_refits(plan)  # also where it failed: nothing more will come
        self.seconds[plan] = time.perf_counter() - started

    def failure(self, plan: Plan) -> Exception | None:
        """Why this plan could not be run, or None, once it is finished."""
        if plan in self._started:
            while not self._started[plan].done():  # a signal that another thread receives does not end a long wait
                wait([self._started[plan]], GLANCE)
            self._started[plan].result()
        return self._broken.get(plan)

    @property
    def finished(self) -> bool:
        """Whether nothing is computed any more."""
        return all(future.done() for future in self._started.values())

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop after the current block, and wait for it; after Ctrl-C or SIGTERM not for long.

        What compiles cannot be stopped, and the interpreter, too, waits for the threads when it ends: whoever must end
        at once looks for THREADS.
        """
        self._stop.set()
        interrupted = kind is not None and not issubclass(kind, Exception)
        self._pool.shutdown(wait=not interrupted, cancel_futures=True)
        if interrupted:
            wait([started for started in self._started.values() if not started.cancelled()], PATIENCE)
