"""Write reports/benchmark.md and .json: seconds and memory of dediag beside the other tools that are installed.

usage: python scripts/benchmark.py [--only TOOLS] [--skip-r] [--skip-cold] [--peers-python PATH] (--help for all)

Every tool works on the embedded study, from size factors to adjusted p-values, in a process of its own that has read
the data and done a small fit before the clock starts. Tools that are not installed are named as such. The section on
data larger than memory comes from reports/large_cohort.json, where scripts/large_cohort.py has written it. PyDESeq2 and
inmoose are looked for in the interpreter that --peers-python names, for which scripts/benchmark_peers.py is enough.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmark_report import as_markdown, goals
from large_cohort_report import goals as large_goals

HERE = Path(__file__).resolve().parent
R_TOOLS = ("DESeq2", "glmGamPoi", "edgeR_QL", "limma_voom")
PEERS = ("PyDESeq2", "inmoose", "statsmodels_GLM")
CHEAP = {"glmGamPoi", "edgeR_QL", "limma_voom", "inmoose"}  # the median of three; the others once
SEARCHES = ("newton", "reference")
LARGE = "30000x400"  # memory is also measured on a matrix whose size counts beside the 300 MB
LIMIT = 1800  # seconds that any one process may take


def main(argv: list[str] | None = None) -> int:
    """Measure, write, say which goals are missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="comma-separated: dediag, " + ", ".join(R_TOOLS + PEERS))
    parser.add_argument("--skip-r", action="store_true", help="leave out the R tools")
    parser.add_argument("--skip-cold", action="store_true", help="leave out the first use with an empty cache")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has PyDESeq2 and inmoose")
    parser.add_argument("--study", default="demo", help='"demo", or GENESxSAMPLES for a simulated one')
    parser.add_argument("--repeats", type=int, default=5, help="warm fits of dediag, of which the median counts")
    parser.add_argument("--draws", type=int, default=100, help="balanced refits")
    parser.add_argument("--permutations", type=int, default=1000, help="refits of relabelled samples")
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes for the exponents, no large matrix: to try the script"
    )
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    parser.add_argument("--page", action="store_true", help="measure nothing: the page of what was measured before")
    options = parser.parse_args(argv)
    wanted = set(options.only.split(",")) if options.only else {"dediag", *R_TOOLS, *PEERS}
    if unknown := wanted - {"dediag", *R_TOOLS, *PEERS}:
        parser.error(f"unknown tools: {', '.join(sorted(unknown))}")
    if options.skip_r:
        wanted -= set(R_TOOLS)
    options.out.mkdir(parents=True, exist_ok=True)
    measured, large = options.out / "benchmark.json", options.out / "large_cohort.json"
    if options.page:
        results = json.loads(measured.read_text())
    else:
        with tempfile.TemporaryDirectory() as scratch:
            results = measure(options, wanted, Path(scratch))
    results["goals"] = goals(results)
    measured.write_text(json.dumps(results, indent=1) + "\n")
    if large.exists():  # of scripts/large_cohort.py, which takes as long as all of this
        results["large"] = json.loads(large.read_text())
        results["goals"] = results["goals"] + large_goals(results["large"])
    (options.out / "benchmark.md").write_text(as_markdown(results))
    missed = [goal for goal in results["goals"] if goal["met"] is False]
    for goal in missed:
        print(f"missed: {goal['goal']}: {goal['value']:.3g}", file=sys.stderr)
    return 1 if missed else 0


def measure(options: argparse.Namespace, wanted: set[str], scratch: Path) -> dict[str, Any]:
    """All measurements, one after the other so that none disturbs another."""
    load = os.getloadavg()[0]
    study = child("study", scratch, options.study)
    results: dict[str, Any] = {"machine": machine(load), "versions": versions(), "study": study, "tools": {}}
    if "dediag" in wanted:
        results["dediag"] = child("warm", scratch, options.repeats)
    for tool in (t for t in (*R_TOOLS, *PEERS) if t in wanted):
        say(tool)
        results["tools"][tool] = other(tool, options.peers_python, scratch)
    if "dediag" in wanted:
        results["refits"] = child("refits", scratch, options.draws)
        results["permutations"] = child("permutations", scratch, options.permutations)
        results["memory"] = memory(scratch, None if options.small else LARGE)
        results["scaling"] = child("scaling-small" if options.small else "scaling", scratch, 3)
        if not options.skip_cold:
            results["cold"] = {search: cold(scratch, search) for search in SEARCHES}
    return results


def say(what: str) -> None:
    """Report what is being measured."""
    print(f"measuring {what} ...", flush=True)


def child(task: str, folder: Path, value: object, **environment: str) -> Any:
    """Run a task of benchmark_dediag.py in a process of its own."""
    say(f"dediag: {task} {value}")
    command = [sys.executable, str(HERE / "benchmark_dediag.py"), task, str(folder), str(value)]
    return last_line(command, os.environ | environment)


def last_line(command: list[str], environment: dict[str, str] | None = None) -> Any:
    """The JSON that a command prints last. Raises RuntimeError with its messages where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def other(tool: str, peers_python: str, folder: Path) -> dict[str, Any]:
    """Seconds of another tool; {"missing": true} where it is not installed."""
    repeats = str(3 if tool in CHEAP else 1)
    if tool in PEERS:
        python = sys.executable if tool == "statsmodels_GLM" else peers_python
        return summary(last_line([python, str(HERE / "benchmark_peers.py"), str(folder), tool, repeats]))
    if shutil.which("Rscript") is None:
        return {"missing": True}
    return summary(last_line(["Rscript", str(HERE / "benchmark_tools.R"), str(folder), tool, repeats]))


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """The same with the median of the seconds."""
    return found if found.get("missing") else found | {"median": median(found["seconds"])}


def cold(folder: Path, search: str) -> dict[str, Any]:
    """The first fit with an empty cache of compiled code, and that of the next process, which finds it filled."""
    with tempfile.TemporaryDirectory() as cache:
        empty = child("first", folder, search, NUMBA_CACHE_DIR=cache)
        filled = child("first", folder, search, NUMBA_CACHE_DIR=cache)
    total = {name: run["import"] + run["first"] for name, run in (("empty", empty), ("filled", filled))}
    return {"empty": empty, "filled": filled, "compiling": total["empty"] - total["filled"]}


def memory(scratch: Path, large: str | None) -> dict[str, Any]:
    """Peak memory of a fit of the study and of a larger one, by search, with the limit that holds for it, in MB."""
    where = {"study": scratch}
    if large:
        where[large] = scratch / "large"
        where[large].mkdir()
        child("study", where[large], large)
    found = {}
    for name, folder in where.items():
        for search in SEARCHES:
            run = child("memory", folder, search)
            found[f"{name}, {search}"] = run | {"limit": 3 * run["matrix"] + 300}
    return found


def machine(load: float) -> dict[str, Any]:
    """Processor, cores and memory; the load before the run shows whether the machine had other work."""
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        named = [
            line.split(":", 1)[1].strip() for line in cpus.read_text().splitlines() if line.startswith("model name")
        ]
        model = named[0] if named else model
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cores": usable,
        "memory_gb": round(total, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(load, 2),
    }


def versions() -> dict[str, str]:
    """dediag's Python and libraries."""
    names = ("numpy", "scipy", "pandas", "numba", "statsmodels")
    return {"Python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}


if __name__ == "__main__":
    sys.exit(main())
