"""Linear algebra in one thread, asked for from several threads that come and go in any order."""

from __future__ import annotations

from threadpoolctl import ThreadpoolController

from dediag.model.blas import OneBlasThread


def threads() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().info() if library["user_api"] == "blas"}


def test_the_last_who_leaves_takes_it_back():
    before, one = threads(), OneBlasThread()
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        first = threads()
        one.__enter__()
        assert threads() <= {1}
        one.__enter__()  # another thread comes before the first leaves
        one.__exit__()
        assert threads() <= {1}
        one.__exit__()
        assert threads() == first
        with one:
            assert threads() <= {1}
        assert threads() == first
    assert threads() == before
