"""Progress for people: a bar with the time left on a terminal, one line for each step elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dediag.progress import Progress

EVERY = 20.0  # seconds between two lines on a long piece of work, where there is no bar
LONGEST = 86_400.0  # seconds that a piece of work may take for all of it to count in its speed


@contextlib.contextmanager
def shown(say: Callable[[str], None], *, quiet: bool) -> Iterator[Progress]:
    """A progress callback; `say` writes a line to stderr."""
    from dediag.progress import silent

    if quiet:
        yield silent
    elif sys.stderr.isatty():
        with _bar() as progress:
            yield progress
    else:
        yield _lines(say)


def _lines(say: Callable[[str], None]) -> Progress:
    last, told = "", 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last, told
        now = time.monotonic()
        if what != last and (done < total or total == 0):
            say(f"dediag: {what}")
            last, told = what, now
        elif done < total and now - told >= EVERY:
            say(f"dediag: {what}, {done:,} of {total:,}")
            told = now

    return progress


@contextlib.contextmanager
def _bar() -> Iterator[Progress]:
    from rich import progress as parts
    from rich.console import Console

    columns = (
        parts.TextColumn("{task.description}", markup=False),
        parts.BarColumn(),
        parts.TaskProgressColumn(),
        parts.TimeElapsedColumn(),
        parts.TextColumn("left"),
        parts.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    # speed over all of a piece of work, as some of its parts take minutes; it begins anew with the next piece
    with parts.Progress(*columns, console=console, transient=True, speed_estimate_period=LONGEST) as bar:
        task = bar.add_task("", total=None)

        def progress(what: str, done: int, total: int) -> None:
            now = bar.tasks[0]
            if total != now.total or done < now.completed:  # other work: its speed says nothing about this one's
                bar.reset(task, total=total or None, completed=done)  # what is there from the start took no time
                bar.advance(task, 0)  # the moment from which its speed is measured
            bar.update(task, description=what, completed=done)

        yield progress
