"""How many threads the linear algebra libraries use, which is one setting for the whole process."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


class OneBlasThread:
    """Linear algebra in one thread while anybody in this process asks for it, from whatever threads.

    The libraries have one setting for the process: who comes first makes it, and who leaves last takes it back.
    """

    def __init__(self) -> None:
        """Nobody asks yet."""
        self._lock, self._users = threading.Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        """One thread from here on."""
        with self._lock:
            if self._users == 0:
                self._limit = _blas().limit(limits=1, user_api="blas")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        """As before, if nobody else asks."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()


ONE_BLAS_THREAD = OneBlasThread()


@cache
def _blas() -> ThreadpoolController:
    """The linear algebra libraries of this process (looking them up takes milliseconds)."""
    return ThreadpoolController()
