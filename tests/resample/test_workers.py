"""Worker processes give the same numbers, get the fit once, may be killed, and do not outlive whoever started them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import psutil
import pytest

from dediag.cohort import InputError
from dediag.model.fit import fit
from dediag.model.kernels.threads import set_threads
from dediag.resample import workers as module
from dediag.resample.cache import CODE
from dediag.resample.ensemble import BLOCK, run
from dediag.resample.plans import Simulations, Subsets
from dediag.resample.workers import Execution, InProcess, Lost, Parcel, Part, Processes, WorkersLost, execution
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module")
def main():
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=9, seed=3, group_dispersion_ratio=2)
    return fit(cohort, "~ group", CONTRAST)


@pytest.fixture(scope="module")
def two():
    """Two worker processes, shared by the tests as starting them takes seconds."""
    with execution(workers=2, cache=False) as found:
        yield found


def subsets(n):
    rng = np.random.default_rng(n)
    both = [(rng.permutation(5)[:4], 5 + rng.permutation(9)[:5]) for _ in range(n)]
    return Subsets(tuple(tuple(sorted(map(int, np.concatenate(pair)))) for pair in both))


PLANS = [subsets(2 * BLOCK + 5), Simulations(BLOCK + 2, 1, "swapped", "group", keep=("lfc",))]


def assert_same(one, other):
    for name, values in vars(one).items():
        if isinstance(values, np.ndarray):
            assert np.array_equal(values, getattr(other, name), equal_nan=values.dtype.kind == "f"), name
    assert one.failed == other.failed


@pytest.fixture(scope="module", params=PLANS, ids=["subsets", "simulations"])
def plan_and_result(request, main):
    return request.param, run(request.param, main)


def test_the_number_of_threads_makes_no_difference(plan_and_result, main):
    plan, expected = plan_and_result
    try:
        for n in (1, 2, 3):
            set_threads(n)
            assert_same(run(plan, main), expected)
    finally:
        set_threads(0)


def test_worker_processes_make_no_difference(plan_and_result, main, two):
    plan, expected = plan_and_result
    assert_same(run(plan, main, execution=two), expected)


def test_given_size_factors_reach_the_workers(main, two):
    given = np.linspace(0.5, 2.0, 14)
    plan = subsets(3)
    assert_same(run(plan, main, size_factors=given, execution=two), run(plan, main, size_factors=given))


@pytest.mark.parametrize("backend", ["sequential", "threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_joblibs_backends_make_no_difference(main, backend):
    plan = subsets(BLOCK + 5)
    with joblib.parallel_config(backend=backend), execution(workers=2, cache=False) as how:
        assert_same(run(plan, main, execution=how), run(plan, main))


def test_one_worker_is_this_process_with_its_threads(main):
    with execution(workers=1, cache=False) as how:
        assert_same(run(subsets(3), main, execution=how), run(subsets(3), main))


# what is sent


def test_a_fit_survives_the_journey(main):
    list(main.design.cells)  # computed and kept
    _ = main.results, main.fitted_counts
    copy = module._unpack(Parcel.of(main))
    assert copy is not main
    for name, values in vars(main).items():
        if isinstance(values, np.ndarray):
            np.testing.assert_array_equal(getattr(copy, name), values)
    assert not copy.cohort.counts.flags.writeable
    assert copy.design.formula == main.design.formula
    assert copy.group_mask("case").tolist() == main.group_mask("case").tolist()


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_survives_the_journey(plan):
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert hash(pickle.loads(pickle.dumps(plan))) == hash(plan)


def test_large_arrays_are_not_copied_and_a_parcel_is_unpacked_once(monkeypatch):
    monkeypatch.setattr(module, "LARGE", 1000)
    large, small = np.arange(1000.0), np.arange(10.0)
    parcel = Parcel.of((large, small))
    assert [np.shares_memory(buffer, large) for buffer in parcel.large] == [True]
    copy = pickle.loads(pickle.dumps(parcel))
    assert copy == parcel != Parcel.of((large, small))
    opened = module._unpack(copy)
    assert module._unpack(parcel) is opened
    np.testing.assert_array_equal(opened[0], large)


@pytest.mark.slow
def test_the_fit_is_sent_to_each_worker_once(main):
    with execution(workers=2, cache=False) as how:
        for plan in (subsets(4 * BLOCK), subsets(3 * BLOCK)):
            run(plan, main, execution=how)
        run_there = joblib.Parallel(n_jobs=2, batch_size=1, max_nbytes=module.LARGE)
        unpacked = run_there([joblib.delayed(module._unpack.cache_info)() for _ in range(12)])
    assert {info.misses for info in unpacked} <= {0, 1, 2, 3}  # the fit and two plans at most, in seven blocks
    assert max(info.hits for info in unpacked) > 0


# workers that die


def worker_processes(parent):
    """Process ids of the workers of a process."""
    return [child.pid for child in psutil.Process(parent).children() if any("Loky" in word for word in child.cmdline())]


def killing_progress():
    """A callback that kills a worker process after the first block; the processes that it killed."""
    killed = []

    def progress(what, done, total):
        if done and not killed:
            killed.append(worker_processes(os.getpid())[0])
            os.kill(killed[0], signal.SIGKILL)

    return progress, killed


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(main, two):
    plan, (progress, killed) = subsets(6 * BLOCK), killing_progress()
    assert_same(run(plan, main, execution=two, progress=progress), run(plan, main))
    assert len(killed) == 1


def test_workers_that_die_again_and_again_are_given_up():
    runs = []

    def dying(parts):
        runs.append(parts)
        yield from ()
        raise Lost("a worker was killed")

    with pytest.raises(WorkersLost, match="a worker was killed\nfinished refits are kept"):
        list(module.until_done([Part(0, 5, kept=True)], dying))
    assert len(runs) == module.ATTEMPTS


def test_while_something_is_finished_workers_may_die(main):
    parts = [Part(k, k + 1, kept=True) for k in range(3 * module.ATTEMPTS)]
    plan = subsets(len(parts))

    def dying(missing):
        yield from InProcess().blocks(plan, main, "ratio", missing[:1])
        raise Lost("a worker was killed")

    assert [block.first for block in module.until_done(parts, dying)] == [part.first for part in parts]


def test_an_error_in_a_worker_comes_back(main, two):
    with pytest.raises(IndexError):
        run(Subsets(((0, 99),)), main, execution=two)


def test_a_worker_of_other_code_is_refused():
    module.refuse_other_code(CODE)
    with pytest.raises(WorkersLost, match="another version"):
        module.refuse_other_code("other")


# nobody outlives whoever started them

LONG = """
from dediag.model.fit import fit
from dediag.resample.ensemble import run
from dediag.resample.plans import Simulations
from dediag.resample.workers import execution
from dediag.simulation import simulate

main = fit(simulate(n_genes=300, n_test=5, n_reference=9, seed=3)[0], "~ group", ("group", "case", "control"))

def told(what, done, total):
    if done:
        print(done, flush=True)

with execution(workers=2, cache=False) as how:
    run(Simulations(100_000, 1, "none", "shared", keep=()), main, execution=how, progress=told)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(sent):
    """Ctrl-C reaches all processes of a terminal at once; SIGKILL only the parent."""
    command = [sys.executable, "-c", LONG]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert int(parent.stdout.readline()) == BLOCK
        workers = worker_processes(parent.pid)
        assert len(workers) == 2
        started = time.monotonic()
        if sent == signal.SIGINT:
            os.killpg(parent.pid, sent)
        else:
            os.kill(parent.pid, sent)
        assert parent.wait(timeout=30) == -sent
        assert time.monotonic() - started < 10.0
        while any(running(pid) for pid in workers):
            assert time.monotonic() - started < 20.0
            time.sleep(0.1)
        assert parent.stderr.read().count("KeyboardInterrupt") == (sent == signal.SIGINT)  # of the parent alone


def running(pid):
    """Whether a process is there and not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


SHORT = """
from dediag.model.fit import fit
from dediag.resample import workers
from dediag.resample.ensemble import run
from dediag.resample.plans import Simulations
from dediag.simulation import simulate

workers.LARGE = 1000  # so that arrays are shared, as those of large studies are
main = fit(simulate(n_genes=300, n_test=5, n_reference=9, seed=3)[0], "~ group", ("group", "case", "control"))
with workers.execution(workers=2, cache=False) as how:
    for seed in (1, 2):
        run(Simulations(60, seed, "none", "shared", keep=()), main, execution=how)
"""


@pytest.mark.slow
def test_workers_end_without_a_word():
    done = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ways_to_run():
    with execution() as how:
        assert isinstance(how.workers, InProcess)
    with execution(cache=False) as how:
        assert how == Execution(how.workers, None)
    with pytest.raises(InputError, match="give one of the two"), execution(workers=2, scheduler="tcp://a:1"):
        pass
    Processes(2).close()  # nothing was started
