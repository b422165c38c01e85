"""One measurement of dediag in a process of its own; scripts/benchmark.py starts it and reads the JSON it prints.

usage: python benchmark_dediag.py TASK FOLDER VALUE

study FOLDER SIZE: write counts.npy, counts.tsv and samples.tsv, which the other tasks read. warm FOLDER REPEATS:
interleaved fits. first FOLDER SEARCH: the first fit of a process. refits FOLDER DRAWS: balanced refits. permutations
FOLDER N: refits of relabelled samples. memory FOLDER SEARCH: peak of one fit. scaling FOLDER REPEATS: other sizes
(scaling-small: tiny ones, to try the script).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from dediag.cohort import Cohort

SEED = 20
CONTRAST = ("group", "case", "control")
SEARCHES = ("newton", "reference")
GENES = (3_000, 6_000, 12_000, 24_000)  # of 100 samples
SAMPLES = (50, 100, 200, 400)  # of 6,000 genes
DRAWS = (25, 50)  # fewer draws than asked for, for the exponent
TEXT_LIMIT = 5_000_000  # counts; larger studies are for dediag alone


def simulated(n_genes: int, n_samples: int) -> Cohort:
    """A cohort with 71 % of its samples in one group: the same numbers in every run."""
    from dediag.simulation import simulate

    n_test = round(0.71 * n_samples)
    return simulate(n_genes=n_genes, n_test=n_test, n_reference=n_samples - n_test, seed=SEED)[0]


def study(folder: Path, size: str) -> dict[str, int]:
    """Write the files of a study: the embedded one ("demo"), or a simulated one of GENESxSAMPLES."""
    from dediag.simulation import demo_study

    data = demo_study()[0] if size == "demo" else simulated(*map(int, size.split("x")))
    np.save(folder / "counts.npy", data.counts)
    data.samples[["group"]].to_csv(folder / "samples.tsv", sep="\t", index_label="sample")
    if data.counts.size < TEXT_LIMIT:
        import pandas as pd

        table = pd.DataFrame(data.counts.astype(np.int64), index=data.genes, columns=data.samples.index)
        table.to_csv(folder / "counts.tsv", sep="\t", index_label="gene")
    sizes = data.samples.group.value_counts()
    return {"genes": data.n_genes, "test": int(sizes[CONTRAST[1]]), "reference": int(sizes[CONTRAST[2]])}


def read(folder: Path) -> Cohort:
    """The study that `study` wrote, without a second copy of its counts."""
    import pandas as pd

    from dediag.cohort import Cohort

    counts = np.load(folder / "counts.npy")
    counts.flags.writeable = False
    genes = pd.RangeIndex(len(counts)).map("gene{}".format)
    return Cohort(counts, genes, pd.read_csv(folder / "samples.tsv", sep="\t", index_col=0))


def timed(data: Cohort, search: str) -> tuple[float, int]:
    """Seconds of a fit and how many genes it calls."""
    from dediag.model.fit import fit

    start = time.perf_counter()
    result = fit(data, "~ group", CONTRAST, search=search)
    return time.perf_counter() - start, int(result.significant.sum())


def warm(folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds of interleaved warm fits, with all threads and with one."""
    from dediag.model.kernels.threads import set_threads, threads

    data = read(folder)
    every = threads()
    kinds = [f"{search}_{n}" for search in SEARCHES for n in ("all", "one")]
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    processor: dict[str, list[float]] = {kind: [] for kind in kinds}
    calls = {search: timed(data, search)[1] for search in SEARCHES}  # this first round is not counted
    for _ in range(repeats):
        for label, n in (("all", every), ("one", 1)):
            set_threads(n)
            for search in SEARCHES:
                busy = time.process_time()
                seconds[f"{search}_{label}"].append(timed(data, search)[0])
                processor[f"{search}_{label}"].append(time.process_time() - busy)
    return {"seconds": seconds, "processor": processor, "calls": calls, "threads": every}


def first(folder: Path, search: str) -> dict[str, float]:
    """Seconds to import the engine, of the first and the second fit; processor seconds up to the first."""
    data = read(folder)
    start, busy = time.perf_counter(), time.process_time()
    import dediag.model.fit  # noqa: F401 - to be timed

    imported = time.perf_counter() - start
    fitted = timed(data, search)[0]
    processor = time.process_time() - busy
    return {"import": imported, "first": fitted, "processor": processor, "second": timed(data, search)[0]}


def balanced(data: Cohort, draws: int) -> tuple[tuple[int, ...], ...]:
    """Random draws of as many samples of each group as the smaller one has, sorted."""
    rng = np.random.default_rng(SEED)
    of_group = [np.flatnonzero((data.samples.group == level).to_numpy()) for level in CONTRAST[1:]]
    size = min(map(len, of_group))
    return tuple(
        tuple(int(i) for i in np.sort(np.concatenate([rng.choice(g, size, replace=False) for g in of_group])))
        for _ in range(draws)
    )


def refits(folder: Path, draws: int) -> dict[str, Any]:
    """Seconds of the balanced refits, after two that are not counted, and of fewer of them for the exponent."""
    from dediag.model.fit import fit
    from dediag.resample.ensemble import run
    from dediag.resample.plans import Subsets

    data = read(folder)
    main = fit(data, "~ group", CONTRAST)
    rows = balanced(data, draws)
    run(Subsets(rows[:2]), main)
    seconds, processor = {}, {}
    for n in sorted({draws, *(d for d in DRAWS if d < draws)}):
        start, busy = time.perf_counter(), time.process_time()
        run(Subsets(rows[:n]), main)
        seconds[n], processor[n] = time.perf_counter() - start, time.process_time() - busy
    slope = exponent(seconds) if len(seconds) > 1 else None
    return {"seconds": seconds, "processor": processor, "exponent": slope, "size": len(rows[0])}


def permutations(folder: Path, n: int) -> dict[str, Any]:
    """Seconds of refits of relabelled samples, after two that are not counted, and how much memory they add in MB."""
    from dediag.model.fit import fit
    from dediag.resample.ensemble import run
    from dediag.resample.plans import Relabelled

    data = read(folder)
    main = fit(data, "~ group", CONTRAST)
    everyone = tuple(range(data.n_samples))
    size = int((data.samples.group == CONTRAST[1]).sum())
    rng = np.random.default_rng(SEED)
    test = tuple(tuple(np.sort(rng.choice(data.n_samples, size, replace=False)).tolist()) for _ in range(n))
    run(Relabelled((everyone,) * 2, test[:2]), main)
    before = peak()
    start, busy = time.perf_counter(), time.process_time()
    run(Relabelled((everyone,) * n, test), main)
    wall, processor = time.perf_counter() - start, time.process_time() - busy
    return {"n": n, "seconds": wall, "processor": processor, "memory": peak() - before}


def peak() -> float:
    """Largest resident memory so far in MB.

    Linux hands a parent's ru_maxrss on to its children, which would hide what the fit takes; VmHWM starts afresh.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(float(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def memory(folder: Path, search: str) -> dict[str, float]:
    """Peak memory of reading the matrix and one fit, above what the imports take, in MB."""
    import dediag.model.fit  # noqa: F401 - part of the baseline

    baseline = peak()
    data = read(folder)
    seconds, _ = timed(data, search)
    return {"matrix": data.counts.nbytes / 1024**2, "above": peak() - baseline, "seconds": seconds}


def scaling(repeats: int, genes: tuple[int, ...], samples: tuple[int, ...]) -> dict[str, Any]:
    """Median seconds for each number of genes (100 samples) and of samples (the second number of genes), exponents."""
    out: dict[str, Any] = {search: {"genes": {}, "samples": {}} for search in SEARCHES}
    sizes = [("genes", n, n, 100) for n in genes] + [("samples", n, genes[1], n) for n in samples]
    for axis, n, n_genes, n_samples in sizes:
        data = simulated(n_genes, n_samples)
        for search in SEARCHES:
            timed(data, search)
            out[search][axis][n] = float(np.median([timed(data, search)[0] for _ in range(repeats)]))
    for search in SEARCHES:
        for axis in ("genes", "samples"):
            out[search][f"{axis}_exponent"] = exponent(out[search][axis])
    return out


def exponent(seconds: dict[int, float]) -> float:
    """Slope of log seconds on log size."""
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


TASKS: dict[str, Callable[[Path, str], Any]] = {
    "study": study,
    "warm": lambda folder, repeats: warm(folder, int(repeats)),
    "first": first,
    "refits": lambda folder, draws: refits(folder, int(draws)),
    "permutations": lambda folder, n: permutations(folder, int(n)),
    "memory": memory,
    "scaling": lambda _, repeats: scaling(int(repeats), GENES, SAMPLES),
    "scaling-small": lambda _, repeats: scaling(int(repeats), (200, 400), (10, 20)),
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])))
