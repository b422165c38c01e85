"""Write reports/large_cohort.json: memory and seconds of fitting a cohort that is larger than memory should be.

usage: python scripts/large_cohort.py [--small] [--out FOLDER] [--scratch FOLDER]

A simulated cohort of 30,000 genes x 5,000 samples is written to disk piece by piece, in each format that can be read
stripe by stripe, and read and fitted in a process of its own, whose peak of resident memory counts: in all formats, by
both searches, with twice as many genes, and in a process that may have 4 GiB of address space. Exponents of cost come
from smaller cohorts of the same kind. scripts/large_cohort_report.py turns the JSON into a page.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import machine, versions

SEED = 11
SIZE = (30_000, 5_000)
TEST_SHARE = 0.7  # 3,500 v 1,500
GENES = (7_500, 15_000, 30_000, 60_000)  # of 5,000 samples
SAMPLES = (625, 1_250, 2_500, 5_000)  # of 30,000 genes
SMALL = 100  # by which --small divides genes and samples
CALLED = 0.05  # share of genes with a fold change
PIECE = 250  # genes written at a time
CHUNKS = (256, 1024)  # samples x genes, of the stores
FORMATS = ("h5ad", "zarr", "npy")
ADDRESSES = 4 * 2**30  # bytes that the limited process may address


def main(argv: list[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the script")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "reports")
    parser.add_argument("--scratch", type=Path, help="a folder with 10 GB of room (else the default for such files)")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.task:
        print(json.dumps(task(json.loads(options.task))))
        return 0
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        results = measure(Path(scratch), SMALL if options.small else 1)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "large_cohort.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0


def measure(scratch: Path, divided: int) -> dict[str, Any]:
    """Each measurement in a process of its own, one after the other."""
    genes, samples = (n // divided for n in SIZE)
    results: dict[str, Any] = {"machine": machine(os.getloadavg()[0]), "versions": versions()}

    def one(n_genes: int, n_samples: int, kind: str = "h5ad", **more: Any) -> dict[str, Any]:
        path = str(scratch / f"{n_genes}x{n_samples}.{kind}")
        if not Path(path).exists():
            child({"what": "write", "path": path, "genes": n_genes, "samples": n_samples})
        how = {"search": "newton", "on_disk": divided > 1} | more
        return child({"what": "fit", "path": path, **how}) | {"genes": n_genes, "samples": n_samples, "format": kind}

    one(genes, samples)  # untimed: compiles
    results["fits"] = {f"newton, {kind}": one(genes, samples, kind) for kind in FORMATS}
    results["fits"]["reference, h5ad"] = one(genes, samples, search="reference")
    results["fits"]["newton, h5ad, twice the genes"] = one(2 * genes, samples)
    results["limited"] = one(genes, samples, addresses=ADDRESSES)
    for axis, sizes in (("genes", GENES), ("samples", SAMPLES)):
        runs = [one(n // divided, samples) if axis == "genes" else one(genes, n // divided) for n in sizes]
        x = np.log([run[axis] for run in runs])
        results[axis] = {
            "runs": runs,
            "exponent": {part: slope(x, runs, part) for part in ("fit", "processor", "read", "peak")},
        }
    return results


def slope(log_size: np.ndarray, runs: list[dict[str, Any]], part: str) -> float:
    """Slope of the log of a measurement on log size."""
    return float(np.polyfit(log_size, np.log([run[part] for run in runs]), 1)[0])


def child(what: dict[str, Any]) -> dict[str, Any]:
    """Do a task in a process of its own; RuntimeError with its messages where it fails."""
    print(f"large cohort: {what['what']} {Path(what['path']).name}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, __file__, "--task", json.dumps(what)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{what} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def task(what: dict[str, Any]) -> dict[str, Any]:
    """In the process of its own."""
    if what["what"] == "write":
        write(what["path"], what["genes"], what["samples"])
        return {}
    return fit(what)


def fit(what: dict[str, Any]) -> dict[str, Any]:
    """Read and fit: seconds of each, processor seconds of both, and the peak of resident memory in MiB."""
    if what.get("addresses"):
        resource.setrlimit(resource.RLIMIT_AS, (what["addresses"], what["addresses"]))
    import dediag
    from dediag import cohort as cohorts
    from dediag.model import kernels  # noqa: F401 - so that its import is no part of the fit

    if what["on_disk"]:
        cohorts.IN_MEMORY, cohorts.BLOCK = 0, 1000
    imported = peak()
    start, busy = time.perf_counter(), time.process_time()
    cohort = dediag.read_cohort(what["path"], Path(what["path"]).with_suffix(".samples.tsv"))
    read, after_reading = time.perf_counter() - start, peak()
    result = dediag.fit(cohort, "~ group", ("group", "case", "control"), search=what["search"])
    return {
        "read": read,
        "fit": time.perf_counter() - start - read,
        "processor": time.process_time() - busy,
        "matrix": cohort.counts.nbytes / 2**20,
        "imported": imported,
        "peak_reading": after_reading,
        "peak": peak(),
        "calls": int(result.significant.sum()),
        "replaced": int(result.replaced.sum()),
    }


def peak() -> float:
    """Largest resident memory of this process so far, mapped files included, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts what the process was before it became this program
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def pieces(n_genes: int, n_samples: int) -> Any:
    """Genes of a negative binomial cohort, some at a time: (first gene, counts)."""
    n_test = round(TEST_SHARE * n_samples)
    for first in range(0, n_genes, PIECE):
        rng = np.random.default_rng([SEED, first])
        n = min(PIECE, n_genes - first)
        depth = np.exp(np.random.default_rng(SEED).normal(0.0, 0.3, n_samples))
        mean = np.exp(rng.normal(3.0, 2.0, n))[:, None] * depth
        lfc = np.where(rng.random(n) < CALLED, rng.normal(0.0, 0.5, n), 0.0)
        mean[:, :n_test] *= np.exp2(lfc)[:, None]
        alpha = (0.1 + 2.0 / mean.mean(axis=1)) * np.exp(rng.normal(0.0, 0.4, n))
        counts = rng.poisson(rng.gamma(1.0 / alpha[:, None], alpha[:, None] * mean))
        counts[rng.random(n) < 0.02] = 0
        yield first, counts.astype(np.int32)


def write(path: str, n_genes: int, n_samples: int) -> None:
    """Counts in the format of the path's suffix, and the sample table beside them."""
    place = Path(path)
    n_test = round(TEST_SHARE * n_samples)
    genes, samples = [f"g{i}" for i in range(n_genes)], [f"s{j}" for j in range(n_samples)]
    groups = ["case"] * n_test + ["control"] * (n_samples - n_test)
    rows = [f"{name}\t{group}" for name, group in zip(samples, groups, strict=True)]
    place.with_suffix(".samples.tsv").write_text("\n".join(["sample\tgroup", *rows, ""]))
    if place.suffix == ".npy":
        array = np.lib.format.open_memmap(path, "w+", np.int32, (n_genes, n_samples))
        place.with_suffix(".genes.txt").write_text("\n".join(genes))
        place.with_suffix(".samples.txt").write_text("\n".join(samples))
        for first, counts in pieces(n_genes, n_samples):
            array[first : first + len(counts)] = counts
        return
    if place.suffix == ".h5ad":
        import h5py

        store: Any = h5py.File(path, "w")
    else:
        import zarr

        store = zarr.open_group(path, mode="w")
    chunks = tuple(min(a, b) for a, b in zip(CHUNKS, (n_samples, n_genes), strict=True))
    X = store.create_dataset("X", shape=(n_samples, n_genes), dtype="int32", chunks=chunks)
    for side, names in (("obs", samples), ("var", genes)):
        group = store.create_group(side)
        group.attrs["_index"], group.attrs["column-order"] = "_index", []
        text = np.array(names, dtype=bytes)
        if place.suffix == ".h5ad":
            group.create_dataset("_index", data=text)
        else:
            group.create_array("_index", data=text)
    for first, counts in pieces(n_genes, n_samples):
        X[:, first : first + len(counts)] = counts.T


if __name__ == "__main__":
    sys.exit(main())
