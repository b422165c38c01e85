"""Draws of samples from one matrix of counts, as the kernels see them: indices, never copies of the matrix.

All draws of a set have equally many samples, filled up to whole vectors with samples that do not count.
"""

from __future__ import annotations

from collections import namedtuple

from dediag.model.kernels.compilation import expanded, inner

Draws = namedtuple(
    "Draws",
    (
        "rows",  # (n_draws, n_padded) positions of the samples
        "real",  # (n_padded,) 1 for a sample, 0 for one that fills up
        "n",  # samples of a draw
        "size",  # (n_draws, n_padded) size factors
        "offsets",  # (n_genes, n_samples) in place of size, or (1, 0)
        "weights",  # (n_genes, n_samples), or (1, 0) for none
        "cell",  # (n_draws or 1, n_padded)
    ),
)


@expanded
def own(b, per_draw):
    """Where draw b finds its own among the first axis of an array that is n_draws or 1 long."""
    return b if per_draw.shape[0] > 1 else 0


@inner
def fill(values, value):
    """Set all values (an assignment to a slice takes ten times as long to compile)."""
    for k in range(values.size):
        values[k] = value


@inner
def gather(draws, b, g, row, weight_row, y, s, weight):
    """Counts, size factors and weights of gene g in draw b."""
    for j in range(y.size):
        at = draws.rows[b, j]
        y[j] = row[at] * draws.real[j]
        s[j] = draws.size[b, j]
        weight[j] = draws.real[j]
    if draws.offsets.shape[0] > 1:
        for j in range(draws.n):
            s[j] = draws.offsets[g, draws.rows[b, j]]
    if weight_row.size > 0:
        for j in range(draws.n):
            weight[j] = weight_row[draws.rows[b, j]]


@inner
def means_of_cells(mean, cell, s, floor, mu):
    """Means of the samples, from those of their cells at size factor 1, not below floor."""
    for j in range(mu.size):
        mu[j] = max(floor, s[j] * mean[cell[j]])
