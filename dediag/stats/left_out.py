"""The analysis without one sample, beside that of all samples and those without the others of its group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.fellows import beyond_fellows, spread_of_fellows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class LeftOut:
    """Calls and fold changes of n refits, each without one sample; `called` are the calls of all samples."""

    calls: Array  # (n,)
    up_share: Array  # (n,) NaN without calls
    lost: Array  # (n,) calls of all samples that are none without the sample
    gained: Array  # (n,)
    flipped: Array  # (n,) calls of all samples whose fold change changes its sign
    shift: Array  # (n,) root mean square change of the fold changes, standard errors
    beyond: Array  # (n,) change in calls minus the median of the fellows'; NaN without fellows
    relative: Array  # (n,) its size over the calls with or without the sample, whichever are more
    spreads: Array  # (n,) its size over the spread of the fellows', at least the square root of those calls
    times_lost: Array  # (n_called,) refits in which a call is lost
    furthest: Array  # (n_called,) log2 fold change in the refit that moves it most
    by: Index  # (n_called,) that refit


def compare(
    lfc: Array, se: Array, called: Index, refits: tuple[Array, Mask, Mask], genes: Index, group: Index
) -> LeftOut:
    """Refits beside the full fit.

    lfc, se: (n_genes,) log2, of all samples; called: positions of its calls; refits: fold changes, calls up and calls
    down, (n, n_genes) each; genes: positions of those whose shift is measured; group: (n,) number of the left-out
    sample's group, negative: has no fellows.
    """
    refitted, up, down = refits
    still, change = (up | down)[:, called], refitted[:, called] - lfc[called]
    calls = (up | down).sum(axis=1).astype(np.float64)
    beyond = beyond_fellows(np.where(group >= 0, calls - called.size, np.nan), group)
    most = np.maximum(np.maximum(calls, called.size), 1.0)
    by = np.nan_to_num(np.abs(change)).argmax(axis=0)
    noise = np.fmax(spread_of_fellows(beyond, group), np.sqrt(most))
    return LeftOut(
        calls=calls,
        up_share=np.divide(up.sum(axis=1), calls, out=np.full(calls.size, np.nan), where=calls > 0.0),
        lost=(~still).sum(axis=1).astype(np.float64),
        gained=calls - still.sum(axis=1),
        flipped=(np.sign(refitted[:, called]) == -np.sign(lfc[called])).sum(axis=1).astype(np.float64),
        shift=np.sqrt(np.nanmean(((refitted[:, genes] - lfc[genes]) / se[genes]) ** 2, axis=1)),
        beyond=beyond,
        relative=np.abs(beyond) / most,
        spreads=np.abs(beyond) / noise,
        times_lost=(~still).sum(axis=0).astype(np.float64),
        furthest=refitted[by, called],
        by=by,
    )
