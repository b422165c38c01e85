"""Seconds that one Python tool takes for a study, from size factors to adjusted p-values; reading is not counted.

usage: python benchmark_peers.py FOLDER TOOL REPEATS

FOLDER has counts.tsv (genes x samples) and samples.tsv with a column `group` (case, control). Needs the tool, numpy and
pandas, not dediag, so that another interpreter can run it. The last line printed is JSON: the seconds of each repeat,
the version, genes with adjusted p < 0.1.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import json
import platform
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Padj = NDArray[np.float64]  # (n_genes,)

PROCESSES = 2  # of PyDESeq2, the only one of these that uses several
WARM_UP = 400  # genes of an untimed first run
PACKAGE = {"PyDESeq2": "pydeseq2", "inmoose": "inmoose", "statsmodels_GLM": "statsmodels"}


def pydeseq2(counts: pd.DataFrame, samples: pd.DataFrame) -> Callable[[], Padj]:
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.default_inference import DefaultInference
    from pydeseq2.ds import DeseqStats

    across = counts.T

    def run() -> Padj:
        inference = DefaultInference(n_cpus=PROCESSES)
        study = DeseqDataSet(counts=across, metadata=samples, design="~group", inference=inference, quiet=True)
        study.deseq2()
        tests = DeseqStats(study, contrast=["group", "case", "control"], alpha=0.1, inference=inference, quiet=True)
        tests.summary()
        return np.asarray(tests.results_df["padj"], dtype=float)

    return run


def inmoose(counts: pd.DataFrame, samples: pd.DataFrame) -> Callable[[], Padj]:
    from inmoose.deseq2 import DESeq, DESeqDataSet

    across = counts.T
    levels = samples.assign(group=pd.Categorical(samples.group, categories=["control", "case"]))

    def run() -> Padj:
        study = DESeq(DESeqDataSet(across, clinicalData=levels, design="~ group"), quiet=True)
        return np.asarray(study.results(contrast=["group", "case", "control"])["adj_pvalue"], dtype=float)

    return run


def statsmodels_glm(counts: pd.DataFrame, samples: pd.DataFrame) -> Callable[[], Padj]:
    """A generalised linear model gene by gene, the dispersion by moments: the least that could be done."""
    import statsmodels.api as sm
    from statsmodels.stats.multitest import multipletests

    y = counts.to_numpy(dtype=float)
    x = sm.add_constant((samples.group == "case").to_numpy(dtype=float))

    def run() -> Padj:
        log_counts = np.log(y[y.all(axis=1)])
        factors = np.exp(np.median(log_counts - log_counts.mean(axis=1, keepdims=True), axis=0))  # (n_samples,)
        normal = y / factors
        mean = normal.mean(axis=1)
        moments = (normal.var(axis=1, ddof=1) - mean * (1 / factors).mean()) / mean**2
        offset = np.log(factors)
        p = np.array(
            [
                sm.GLM(row, x, family=sm.families.NegativeBinomial(alpha=alpha), offset=offset).fit().pvalues[1]
                for row, alpha in zip(y, np.clip(moments, 1e-8, 100.0), strict=True)
            ]
        )
        known = np.isfinite(p)
        p[known] = multipletests(p[known], method="fdr_bh")[1]
        return p

    return run


PREPARE = {"PyDESeq2": pydeseq2, "inmoose": inmoose, "statsmodels_GLM": statsmodels_glm}


def main(folder: Path, tool: str, repeats: int) -> dict[str, object]:
    """Time one tool."""
    if importlib.util.find_spec(PACKAGE[tool]) is None:
        return {"missing": True}
    counts = pd.read_csv(folder / "counts.tsv", sep="\t", index_col=0)
    samples = pd.read_csv(folder / "samples.tsv", sep="\t", index_col=0)
    seconds = []
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        counts = counts[counts.any(axis=1)]
        PREPARE[tool](counts.head(WARM_UP), samples)()  # workers started, modules loaded: what is timed is warm
        run = PREPARE[tool](counts, samples)
        for _ in range(repeats):
            start = time.perf_counter()
            padj = run()
            seconds.append(time.perf_counter() - start)
    version = importlib.metadata.version(PACKAGE[tool])
    calls = int((padj < 0.1).sum())
    return {"seconds": seconds, "version": version, "language": f"Python {platform.python_version()}", "calls": calls}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
