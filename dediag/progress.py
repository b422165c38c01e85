"""How long work reports itself: a callback, which only cli.py turns into a bar. A leaf: imports nothing of dediag."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with what is being done and how much of it is done; `total` 0 means not countable."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say that `done` of `total` parts of `what` are finished; perhaps from another thread."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""
