"""The cache of refits changes no number, is keyed by all that a number depends on, and survives whatever lies in it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from dediag.model.fit import fit
from dediag.resample import cache as module
from dediag.resample.cache import Cache, fingerprint
from dediag.resample.ensemble import BLOCK, run
from dediag.resample.plans import Simulations, Subsets
from dediag.resample.workers import Execution, InProcess, Part
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")
PART = Part(0, 3, kept=True)


def cohort(**changes):
    return replace(simulate(n_genes=80, n_test=4, n_reference=6, seed=3)[0], **changes)


@pytest.fixture(scope="module")
def main():
    return fit(cohort(), "~ group", CONTRAST)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


class Counting(InProcess):
    """Notes the blocks that are computed."""

    def __init__(self):
        self.parts = []

    def blocks(self, plan, fit, size_factors, parts):
        self.parts += parts
        yield from super().blocks(plan, fit, size_factors, parts)


def subsets(n=3, **changes):
    rng = np.random.default_rng(5)
    rows = tuple((*sorted(map(int, rng.choice(4, 3, replace=False))), 4, 5, 6, 8) for _ in range(n))
    return replace(Subsets(rows), **changes)


def assert_same(one, other):
    for name, values in vars(one).items():
        if isinstance(values, np.ndarray):
            assert values.dtype == getattr(other, name).dtype
            assert values.tobytes() == getattr(other, name).tobytes(), name
    assert one.failed == other.failed


@pytest.mark.parametrize(
    "plan", [subsets(2 * BLOCK + 4), Simulations(4, 7, "swapped", "shared", keep=("padj",)), subsets(4, keep=())]
)
def test_a_cached_run_equals_a_fresh_one_bit_for_bit(main, cache, plan):
    fresh = run(plan, main)
    counting = Counting()
    for computed in (-(-fresh.n_refits // BLOCK), 0):
        counting.parts.clear()
        assert_same(run(plan, main, execution=Execution(counting, cache)), fresh)
        assert len(counting.parts) == computed


def test_a_refit_that_failed_is_kept_with_its_reason(cache):
    counts = np.array(cohort().counts)
    counts[:40, 0] = 0.0
    counts[40:, 1] = 0.0  # no gene is free of zeros where both are taken
    broken = replace(fit(cohort(), "~ group", CONTRAST), cohort=cohort().with_counts(counts))
    plan = Subsets(((0, 2, 3, 4, 5, 6), (0, 1, 2, 4, 5, 6)))
    fresh = run(plan, broken, execution=Execution(cache=cache))
    assert [k for k, _ in fresh.failed] == [1]
    assert_same(run(plan, broken, execution=Execution(Counting(), cache)), fresh)


def test_an_interrupted_run_goes_on_with_what_is_missing(main, cache):
    plan, counting = subsets(4 * BLOCK), Counting()

    def stop(what, done, total):
        if done == 2 * BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, main, execution=Execution(cache=cache), progress=stop)
    told = []
    found = run(plan, main, execution=Execution(counting, cache), progress=lambda *step: told.append(step[1]))
    assert [part.first for part in counting.parts] == [2 * BLOCK, 3 * BLOCK]
    assert told == [2 * BLOCK, 3 * BLOCK, 4 * BLOCK]  # from what was there: it took no time
    assert_same(found, run(plan, main))


def test_a_longer_plan_goes_on_where_the_shorter_one_ended(main, cache):
    counting = Counting()
    run(subsets(BLOCK), main, execution=Execution(cache=cache))
    run(subsets(2 * BLOCK), main, execution=Execution(counting, cache))
    assert [part.first for part in counting.parts] == [BLOCK]
    run(Simulations(BLOCK, 1, "none", "shared"), main, execution=Execution(cache=cache))
    counting.parts.clear()
    run(Simulations(2 * BLOCK, 1, "none", "shared"), main, execution=Execution(counting, cache))
    assert [part.first for part in counting.parts] == [BLOCK]


# what the key holds


def test_the_key_is_the_same_for_equal_content(main, cache, tmp_path):
    again = fit(cohort(), "~ group", CONTRAST)
    assert cache.path(subsets(), main, "ratio", PART) == cache.path(subsets(), again, "ratio", PART)
    assert cache.path(subsets(), main, "ratio", PART) == Cache(tmp_path).path(subsets(), main, "ratio", PART)
    assert cache.path(subsets(), main, "ratio", PART) == cache.path(subsets(what="x"), main, "ratio", PART)
    given = np.linspace(1.0, 2.0, 10)
    assert cache.path(subsets(), main, given, PART) == cache.path(subsets(), main, given.tolist(), PART)


def test_a_fit_is_hashed_once(main, cache, monkeypatch):
    hashed, real = [], module.fingerprint
    monkeypatch.setattr(module, "fingerprint", lambda value: hashed.append(value) or real(value))
    for plan in (subsets(2 * BLOCK), subsets(3), SIMULATIONS):
        run(plan, main, execution=Execution(cache=cache))
    assert sum(any(part is main for part in value) for value in hashed) == 1


def one_count_more():
    counts = np.array(cohort().counts)
    counts[7, 2] += 1.0
    return cohort().with_counts(counts)


OTHER_FITS = {
    "a count": lambda: fit(one_count_more(), "~ group", CONTRAST),
    "the contrast": lambda: fit(cohort(), "~ group", ("group", "control", "case")),
    "alpha": lambda: fit(cohort(), "~ group", CONTRAST, alpha=0.05),
    "the threshold": lambda: fit(cohort(), "~ group", CONTRAST, lfc_threshold=0.5),
    "the size factors": lambda: fit(cohort(), "~ group", CONTRAST, size_factors="TMM"),
    "the weights": lambda: fit(cohort(), "~ group", CONTRAST, weights=np.tile(np.linspace(0.5, 1.0, 10), (80, 1))),
    "control genes": lambda: fit(cohort(control_genes=np.arange(80) < 60), "~ group", CONTRAST),
    "offsets": lambda: fit(cohort(offsets=np.ones((80, 10))), "~ group", CONTRAST),
}


@pytest.mark.parametrize("change", OTHER_FITS)
def test_the_key_changes_with_the_main_fit(main, cache, change):
    assert cache.path(subsets(), OTHER_FITS[change](), "ratio", PART) != cache.path(subsets(), main, "ratio", PART)


def test_the_key_changes_with_the_count_alone(main, cache):
    other = replace(main, cohort=one_count_more())  # as if no estimate had moved
    assert cache.path(subsets(), other, "ratio", PART) != cache.path(subsets(), main, "ratio", PART)


SIMULATIONS = Simulations(3, 1, "none", "shared")
OTHER_PLANS = [
    (subsets(), subsets(keep=("lfc",))),
    (subsets(), replace(subsets(), rows=(*subsets().rows[:2], (0, 1, 2, 4, 5, 9)))),
    (subsets(), SIMULATIONS),
    *((SIMULATIONS, replace(SIMULATIONS, **change)) for change in (
        {"seed": 2}, {"effects": "fitted"}, {"dispersion": "group"}, {"residuals": "permuted"},
        {"per_cohort": 3, "replicates": 1, "rows": subsets().rows}, {"weights": ((1.0,) * 9 + (0.5,),)},
    )),
]  # fmt: skip


@pytest.mark.parametrize(("plan", "other"), OTHER_PLANS)
def test_the_key_changes_with_the_plan(main, cache, plan, other):
    assert cache.path(plan, main, "ratio", PART) != cache.path(other, main, "ratio", PART)


def test_the_key_changes_with_size_factors_the_place_and_what_is_kept(main, cache):
    plain = cache.path(subsets(6), main, "ratio", PART)
    paths = {
        plain,
        cache.path(subsets(6), main, "poscounts", PART),
        cache.path(subsets(6), main, np.ones(10), PART),
        cache.path(subsets(6), main, "ratio", Part(1, 3, kept=True)),
        cache.path(subsets(6), main, "ratio", Part(0, 3, kept=False)),
    }
    assert len(paths) == 5


@pytest.mark.parametrize("name", ["CODE", "_processor"])
def test_the_key_changes_with_the_code_and_the_processor(main, cache, monkeypatch, tmp_path, name):
    before = cache.path(subsets(), main, "ratio", PART)
    monkeypatch.setattr(module, name, "another" if name == "CODE" else lambda: "another")
    assert Cache(tmp_path).path(subsets(), main, "ratio", PART) != before


def test_the_code_is_that_of_all_sources_that_compute(tmp_path, monkeypatch):
    package = tmp_path / "dediag"
    for name in ("cohort.py", "model/fit.py", "model/kernels/objective.py", "resample/cache.py", "stats/adjust.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("x = 1\n")
    (package / "model" / "prior.tsv.gz").write_bytes(b"table")
    (package / "study.py").write_text("x = 1\n")
    monkeypatch.setattr(module, "__file__", str(package / "resample" / "cache.py"))
    keys = [module._sources()]
    for name in ("cohort.py", "model/kernels/objective.py", "model/prior.tsv.gz", "stats/adjust.py"):
        (package / name).write_bytes(b"x = 2\n")
        keys.append(module._sources())
    assert len(set(keys)) == len(keys)
    (package / "study.py").write_text("x = 2\n")
    (package / "model" / "__pycache__").mkdir()
    (package / "model" / "__pycache__" / "fit.pyc").write_bytes(b"compiled")
    assert module._sources() == keys[-1]
    versions = {"numpy": "0.1"}
    monkeypatch.setattr(module.metadata, "version", lambda name: versions.get(name, "1"))
    older = module._sources()
    versions["numpy"] = "0.2"
    assert module._sources() != older


def test_fingerprints_are_of_the_content():
    table = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}, index=["s1", "s2"])
    values = [
        1, 1.0, "1", True, None, (1,), (1, 2), ((1,), 2), (1, (2,)), ("12",), ("1", "2"), np.float64(2.0),
        {"a": 1}, {"a": 2}, frozenset("ab"), frozenset("a"),
        np.zeros(2), np.zeros((2, 1)), np.zeros(2, np.float32), np.array(["a", None], object),
        table, table.rename(index={"s1": "s3"}), table.rename(columns={"a": "c"}), table.assign(a=[1.0, 3.0]),
        table.astype({"b": "category"}), table.index, table.index[::-1],
    ]  # fmt: skip
    assert len({fingerprint(value) for value in values}) == len(values)
    assert fingerprint({"a": 1}) == fingerprint(MappingProxyType({"a": 1}))
    assert fingerprint(np.zeros((4, 2))[::2]) == fingerprint(np.zeros((2, 2)))
    assert fingerprint(np.array(["2026-11-24"], "M8[D]")) != fingerprint(np.array(["2026-11-25"], "M8[D]"))
    assert fingerprint(frozenset("abc")) == fingerprint(frozenset("cba"))
    with pytest.raises(TypeError, match="no rule for the content of object"):
        fingerprint((1, object()))


def test_a_matrix_in_a_file_has_the_fingerprint_of_the_same_in_memory(tmp_path, monkeypatch):
    values = np.random.default_rng(1).random((50, 7))
    np.save(tmp_path / "m.npy", values)
    monkeypatch.setattr(module, "BLOCK", 64)
    mapped = np.load(tmp_path / "m.npy", mmap_mode="r")
    assert fingerprint(mapped) == fingerprint(values)
    values[-1, -1] += 1.0
    assert fingerprint(mapped) != fingerprint(values)


# files


def files(cache):
    return sorted(cache.folder.iterdir())


@pytest.fixture
def stored(main, cache):
    """The file of one block and the ensemble that it is all of."""
    found = run(subsets(), main, execution=Execution(cache=cache))
    (path,) = files(cache)
    return path, found


@pytest.mark.parametrize("harm", ["truncated", "empty", "a byte", "another file", "shapes", "objects", "failed"])
def test_a_damaged_file_is_computed_again(main, cache, stored, harm):
    path, fresh = stored
    content = path.read_bytes()
    if harm in ("shapes", "objects", "failed"):
        with np.load(path) as found:
            arrays = dict(found)
        name, value = {
            "shapes": ("lfc", arrays["lfc"][:, :5]),
            "objects": ("n_small", np.array([{}, {}, {}], object)),
            "failed": ("failed", np.frombuffer(b"[[0]]", np.uint8)),
        }[harm]
        np.savez(path, **(arrays | {name: value}))
    else:
        middle = content.index(b"lfc.npy") + 300
        path.write_bytes(
            {
                "truncated": content[:-100],
                "empty": b"",
                "a byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
                "another file": b"not an archive",
            }[harm]
        )
    counting = Counting()
    assert_same(run(subsets(), main, execution=Execution(counting, cache)), fresh)
    assert len(counting.parts) == 1
    assert len(path.read_bytes()) == len(content)  # mended


def test_a_file_is_never_run(main, cache, stored, tmp_path):
    """A pickled array would run what it says when it is read."""
    path, fresh = stored

    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harmed"),)

    with np.load(path) as found:
        np.savez(path, **(dict(found) | {"n_small": np.array([Harm()], object)}))
    assert_same(run(subsets(), main, execution=Execution(cache=cache)), fresh)
    assert not (tmp_path / "harmed").exists()


def test_nothing_half_written_is_left_or_read(main, cache, monkeypatch):
    def full(self, content):
        with self.open("wb") as file:
            file.write(content[:50])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(cache.folder), "write_bytes", full)
    assert run(subsets(), main, execution=Execution(cache=cache)).n_refits == 3
    assert files(cache) == []


def test_what_killed_processes_left_is_removed_after_a_while(main, cache):
    old, new = (cache.folder / f".{name}.partial-00" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * module.STALE,) * 2)
    run(subsets(), main, execution=Execution(cache=cache))
    assert not old.exists()
    assert new.exists()


def test_blocks_unused_for_longest_go_first(main, tmp_path):
    run(subsets(), main, execution=Execution(cache=Cache(tmp_path)))
    (size,) = (path.stat().st_size for path in tmp_path.iterdir())
    cache = Cache(tmp_path, limit=3 * size)
    plans = [subsets(rows=((k, k + 1, 4, 5, 6), (0, 3, 5, 6, 7), (1, 3, 6, 7, 8))) for k in range(3)]
    for age, path in enumerate(tmp_path.iterdir()):
        os.utime(path, (1000.0 + age,) * 2)
    for plan in plans[:2]:
        run(plan, main, execution=Execution(cache=cache))
    counting = Counting()
    run(subsets(), main, execution=Execution(counting, cache))  # used again
    assert counting.parts == []
    oldest = cache.path(plans[0], main, "ratio", PART)
    os.utime(oldest, (2000.0, 2000.0))
    run(plans[2], main, execution=Execution(cache=cache))
    assert len(files(cache)) == 3
    assert not oldest.exists()
    assert cache.load(subsets(), main, "ratio", PART) is not None


def test_a_folder_that_is_gone_does_no_harm(main, tmp_path):
    found = run(subsets(), main, execution=Execution(cache=Cache(tmp_path / "nowhere")))
    assert_same(found, run(subsets(), main))


@pytest.mark.parametrize("name", ["DEDIAG_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_the_folder_of_the_user(monkeypatch, tmp_path, name):
    for other in ("DEDIAG_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, str(tmp_path / "there"))
    assert Cache.of_user().folder == tmp_path / "there" / "dediag" / "refits"
    monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Cache.of_user().folder == tmp_path / "home" / ".cache" / "dediag" / "refits"


def test_without_a_folder_there_is_no_cache(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEDIAG_CACHE_DIR", str(tmp_path / "file"))
    assert Cache.of_user() is None
    monkeypatch.setenv("DEDIAG_CACHE_DIR", str(tmp_path / "there"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert Cache.of_user() is None
