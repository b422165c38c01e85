"""Write anndata/: one small study in the layouts that AnnData writes (stores.zip), and as text.

usage: python make_anndata.py OUT_DIR (run with anndata 0.12.19, h5py 3.16.0, zarr 3.1.6)
"""

import shutil
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

out = Path(sys.argv[1])
stores = out / "stores"
stores.mkdir(parents=True)
genes, samples = [f"gene{i:02}" for i in range(1, 16)], [f"s{i}" for i in range(1, 9)]
i, j = np.indices((8, 15))
counts = ((7 * i + 3 * j) % 11 * (j % 4)).astype(np.int64)  # (samples, genes)
obs = pd.DataFrame(
    {
        "group": pd.Categorical(["case"] * 4 + ["control"] * 4),
        "batch": pd.Categorical([2, 1, 2, 1, 2, 1, 2, 1]),
        "age": [40.5, 41, np.nan, 43, 44, 45, 46, 47],
        "lane": np.arange(1, 9, dtype=np.int32),
        "smoker": [True, False] * 4,
        "note": list("abcdefgh"),
        "site": pd.Categorical(["x", None, "y", "x", "y", "x", "y", "x"]),
        "visits": pd.array([1, None, 3, 4, 5, 6, 7, 8], dtype="Int64"),
        "treated": pd.array([True, None, False, True, False, True, False, True], dtype="boolean"),
    },
    index=samples,
)
logs = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


def study(X, var=genes, **more):
    return anndata.AnnData(X=X, obs=obs.copy(), var=pd.DataFrame({"length": np.arange(len(var))}, index=var), **more)


def kept(adata):
    smaller = adata[:, :10].copy()
    smaller.raw = adata
    smaller.X = smaller.X.astype(np.float64)
    smaller.X = np.log1p(smaller.X)
    return smaller


studies = {
    "dense": study(counts.astype(np.float32)),
    "integers": study(counts),
    "csr": study(sp.csr_matrix(counts.astype(np.float32))),
    "layer_csc": study(logs, layers={"scaled": logs / 2, "counts": sp.csc_matrix(counts)}),
    "raw": kept(study(counts)),
    "no_X": study(None, layers={"counts": counts}),
}
for name, adata in studies.items():
    adata.write_h5ad(stores / f"{name}.h5ad", compression="gzip")
for version in (2, 3):
    anndata.settings.zarr_write_format = version
    for name in ("dense", "layer_csc"):
        studies[name].write_zarr(stores / f"{name}_{version}.zarr")
shutil.make_archive(str(stores), "zip", stores)
shutil.rmtree(stores)
pd.DataFrame(counts.T, index=genes, columns=samples).to_csv(out / "counts.tsv", sep="\t", index_label="gene_id")
obs.to_csv(out / "samples.tsv", sep="\t", index_label="sample", na_rep="NA")
