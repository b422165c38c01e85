"""A dask scheduler with two worker processes gives the same numbers, and a worker killed in mid-run loses nothing."""

from __future__ import annotations

import builtins
import os
import signal
import socket
import time

import numpy as np
import pytest

from dediag import auditing
from dediag.auditing import examine, open_study
from dediag.cohort import InputError
from dediag.model.fit import fit
from dediag.resample import cluster as module
from dediag.resample.cluster import Cluster
from dediag.resample.ensemble import BLOCK, run
from dediag.resample.plans import Simulations, Subsets
from dediag.resample.workers import Execution, WorkersLost, execution
from dediag.simulation import simulate

distributed = pytest.importorskip("distributed")

CONTRAST = ("group", "case", "control")
SILENT = {"dashboard_address": ":0", "silence_logs": 50}


@pytest.fixture(scope="module")
def main():
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=9, seed=3, group_dispersion_ratio=2)
    return fit(cohort, "~ group", CONTRAST)


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler with two worker processes of one thread each, which come back when killed."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **SILENT) as found:
        yield found.scheduler_address


@pytest.fixture(scope="module")
def two(scheduler):
    with execution(scheduler=scheduler, cache=False) as found:
        yield found


def subsets(n):
    rng = np.random.default_rng(n)
    both = [(rng.permutation(5)[:4], 5 + rng.permutation(9)[:5]) for _ in range(n)]
    return Subsets(tuple(tuple(sorted(map(int, np.concatenate(pair)))) for pair in both))


def assert_same(one, other):
    for name, values in vars(one).items():
        if isinstance(values, np.ndarray):
            assert np.array_equal(values, getattr(other, name), equal_nan=values.dtype.kind == "f"), name
    assert one.failed == other.failed


@pytest.mark.parametrize(
    "plan", [subsets(2 * BLOCK + 5), Simulations(BLOCK + 2, 1, "swapped", "group", keep=("lfc",))], ids=lambda p: p.what
)
def test_workers_of_a_scheduler_make_no_difference(plan, main, two):
    assert_same(run(plan, main, execution=two), run(plan, main))


def test_given_size_factors_reach_the_workers(main, two):
    given = np.linspace(0.5, 2.0, 14)
    assert_same(run(subsets(3), main, size_factors=given, execution=two), run(subsets(3), main, size_factors=given))


@pytest.mark.slow
def test_a_worker_with_several_threads_computes_one_block_at_a_time(main):
    with distributed.LocalCluster(n_workers=1, threads_per_worker=3, processes=True, **SILENT) as found:
        how = Execution(Cluster(found.scheduler_address))
        plan = subsets(5 * BLOCK)
        assert_same(run(plan, main, execution=how), run(plan, main))
        how.workers.close()


def process_ids(how):
    return list(how.workers._client.run(os.getpid).values())


@pytest.mark.slow
@pytest.mark.parametrize("how_many", [1, 2])
def test_killed_workers_lose_nothing(main, two, how_many):
    """Also where all that hold the fit are killed at once."""
    plan, killed = subsets(6 * BLOCK), []

    def progress(what, done, total):
        if done and not killed:
            killed.extend(process_ids(two)[:how_many])
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    assert_same(run(plan, main, execution=two, progress=progress), run(plan, main))
    assert len(killed) == how_many


def test_the_fit_is_sent_once_and_gone_afterwards(main, two, scheduler):
    def on_workers():
        return {key for keys in two.workers._client.has_what().values() for key in keys}

    before = on_workers()
    with execution(scheduler=scheduler, cache=False) as how:
        client, sent = how.workers._client, []
        scatter = client.scatter
        client.scatter = lambda data, **options: sent.append(data) or scatter(data, **options)
        for plan in (subsets(2 * BLOCK), subsets(3)):
            run(plan, main, execution=how)
        assert [type(data).__name__ for data in sent] == ["NBFit", "Subsets", "Subsets"]
        assert on_workers() - before
    deadline = time.monotonic() + 20.0
    while on_workers() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert on_workers() <= before


def test_an_interrupted_run_leaves_nothing_waiting_on_the_scheduler(main, two):
    def interrupt(what, done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(subsets(40 * BLOCK), main, execution=two, progress=interrupt)
    assert_same(run(subsets(3), main, execution=two), run(subsets(3), main))
    assert sum(map(len, two.workers._client.processing().values())) <= 2  # none of 38


def test_a_worker_of_other_code_is_refused_at_once(scheduler, monkeypatch):
    monkeypatch.setattr(module, "CODE", "other")
    with pytest.raises(WorkersLost, match="another version"):
        Cluster(scheduler)


def test_a_worker_of_other_code_that_joins_later_is_refused(main, scheduler, monkeypatch):
    with execution(scheduler=scheduler, cache=False) as how:
        monkeypatch.setattr(module, "CODE", "other")
        with pytest.raises(WorkersLost, match="another version"):
            run(subsets(3), main, execution=how)


def test_a_worker_without_dediag_is_named(scheduler, monkeypatch):
    def missing(code):
        raise ModuleNotFoundError("No module named 'dediag'")

    monkeypatch.setattr(module, "refuse_other_code", missing)
    with pytest.raises(InputError, match=r"the worker tcp://.* cannot run this dediag \(No module"):
        Cluster(scheduler)


# schedulers that cannot help


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:9", "no dask scheduler answers at tcp://127.0.0.1:9 within 1 seconds"),
        ("nowhere", "'nowhere' is no address such as tcp://host:8786"),
        ("http://127.0.0.1:9", "'http://127.0.0.1:9' is no address such as tcp://host:8786"),
    ],
)
def test_an_address_that_does_not_answer(address, said, monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(InputError, match=said), execution(scheduler=address):
        pass
    assert time.monotonic() - started < 5.0


def test_a_mute_port_and_another_service(monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1.0)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(InputError, match="no dask scheduler answers"):
            Cluster(f"tcp://127.0.0.1:{mute.getsockname()[1]}")


def test_a_worker_is_not_a_scheduler(two):
    worker = next(iter(two.workers._client.run(os.getpid)))
    with pytest.raises(InputError, match="no dask scheduler answers"):
        Cluster(worker)


def test_a_scheduler_without_workers(monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1.0)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, **SILENT) as empty,
        pytest.raises(InputError, match="has no workers; start some: dask worker"),
    ):
        Cluster(empty.scheduler_address)


def test_without_dask_it_is_said_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def absent(name, *arguments, **named):
        if name == "distributed":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r'pip install "dediag\[dask\]"'), execution(scheduler="tcp://127.0.0.1:9"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["scheduler", "workers"])
def test_what_is_lost_for_good_ends_the_audit_with_a_sentence(main, monkeypatch, lost):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 2.0)
    monkeypatch.setattr(module, "WORKERS_SECONDS", 1.0)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, **SILENT) as found:
        how = Execution(Cluster(found.scheduler_address))

        def lose(what, done, total):
            if done == BLOCK:
                found.scale(0) if lost == "workers" else found.close()

        with pytest.raises(WorkersLost, match="finished refits are kept: the same command goes on where it was"):
            run(subsets(40 * BLOCK), main, execution=how, progress=lose)
        how.workers.close()


@pytest.mark.parametrize("where", ["plan", "compute"])
def test_lost_workers_are_no_finding(main, monkeypatch, where):
    """The audit ends; no diagnostic is said to have failed."""
    from test_auditing import Registered, diagnostic

    class Gone:
        def blocks(self, *_):
            raise WorkersLost("gone")
            yield

        def close(self):
            pass

    study = open_study(main.cohort, "~ group", CONTRAST, execution=Execution(Gone()))
    asks = {"plan": lambda _: {"draws": subsets(3)}, "compute": lambda study: study.ensemble(subsets(3))}
    entry = Registered("one", diagnostic(**{where: asks[where]}), "Is it?", "Because.", ())
    monkeypatch.setattr(auditing, "registered", lambda: {"one": entry})
    with pytest.raises(WorkersLost, match="gone"):
        examine(study, {})
