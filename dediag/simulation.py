"""Simulated cohorts whose truth is known: negative binomial counts, one keyword per fault.

Every part draws from its own stream of the one seed, so a cohort with a fault has the genes, effects and libraries of
the healthy cohort of the same seed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from dediag.cohort import Cohort, InputError, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COMPOSITION_GENES = 5  # "a few genes": haemoglobins in blood, albumin in liver
OUTLIER_FACTOR = 50  # an extreme count is this many times (count + OUTLIER_OFFSET)
OUTLIER_OFFSET = 20
BATCH_SHARE = 0.3  # share of genes that a recorded batch touches
BATCH_SD = 0.7  # log2 standard deviation of its effect on them


class Knob(NamedTuple):
    """What a keyword of `simulate` means: its neutral value, one line of explanation, and the range it may take."""

    neutral: float
    meaning: str
    low: float = 0.0
    high: float = 1.0


FAULTS: Mapping[str, Knob] = {
    "effect_share": Knob(0.1, "share of genes with a true effect (not a fault; 0: nothing to find)"),
    "effect_sd": Knob(0.8, "log2 standard deviation of the true effects (not a fault)", 0, 10),
    "one_sided": Knob(0.0, "share of the true effects that are forced down in the test group (0: signs by chance)"),
    "group_dispersion_ratio": Knob(1.0, "dispersion of the test group, in multiples of the reference's", 0.001, 1000),
    "depth_ratio": Knob(1.0, "sequencing depth of the test group over the reference's", 0.001, 1000),
    "leakage": Knob(0.0, "stray reads per gene in every sample, whatever its depth (index hopping)", 0, 1e6),
    "contamination": Knob(
        0.0, "stray reads per gene in the test group only (negative: in the reference only)", -1e6, 1e6
    ),
    "composition_shift": Knob(0.0, "share of the test group's reads that a few genes take up in addition", 0, 0.99),
    "bad_sample": Knob(0.0, "log2 standard deviation, gene by gene, of the damage to the first test sample", 0, 10),
    "outliers": Knob(0.0, "share of genes in which one sample has an extreme count"),
    "zero_inflation": Knob(0.0, "probability that a count of any sample is lost (becomes 0)"),
    "group_zero_inflation": Knob(0.0, "probability that a count of a test sample is lost (becomes 0)"),
    "hidden_batch": Knob(0.0, "log2 standard deviation of a batch effect on all genes that no column names", 0, 10),
    "confounded_covariate": Knob(
        0.0, "association (0 to 1) of group with a column `batch` that has effects of its own"
    ),
    "sample_swap": Knob(0.0, "number of pairs of samples, one of each group, whose labels are exchanged", 0, 1000),
}


@dataclass(frozen=True)
class Population:
    """The genes and libraries that cohorts are drawn from; the defaults resemble a bulk RNA-seq study of one tissue."""

    log_mean: float = 5.0  # natural log of base means: normal with this mean ...
    log_mean_sd: float = 1.8  # ... and this standard deviation
    smallest_mean: float = 0.1
    asymptote: float = 0.08  # dispersion trend: asymptote + extra / base mean ...
    extra: float = 2.0
    dispersion_sd: float = 0.5  # ... times a lognormal spread of this size
    size_factor_sd: float = 0.3  # natural log
    silent_share: float = 0.0  # of the genes, whose means are ...
    silent_log2: float = -7.0  # ... lower by this: a second class of genes, as real tissues have


TYPICAL = Population()

# The embedded study. The means put 5 to 6 % of the genes below 33 counts, and the dispersions spread the fold changes
# of 71 v 29 samples by about 0.2. The seed is the first whose summary has the published share of low counts: at these
# and neighbouring settings independent filtering removes genes for about one seed in 20 and otherwise none.
DEMO_POPULATION = Population(log_mean=6.3, log_mean_sd=1.85, asymptote=0.17, extra=8.0, dispersion_sd=0.6)
DEMO_FAULTS: Mapping[str, float] = {
    "effect_share": 0.06,
    "effect_sd": 0.32,
    "one_sided": 0.3,
    "depth_ratio": 2.5,
    "leakage": 1.0,
}
DEMO_SEED = 2


def simulate(
    *,
    n_genes: int = 2000,
    n_test: int = 10,
    n_reference: int = 10,
    seed: int = 0,
    population: Population = TYPICAL,
    **faults: float,
) -> tuple[Cohort, pd.DataFrame]:
    """Draw a cohort and its truth; the faults and their strengths are the keys of `FAULTS`.

    The sample table has the column `group` ("case": test, "control": reference). The truth (n_genes rows) has
    base_mean (midpoint of the two groups at size factor 1, on the log scale), dispersion, lfc (log2, case over
    control, of the genes' own expression), mean_case, mean_control, dispersion_case, dispersion_control, and one
    column for each gene-wise fault that is on; `truth.attrs` holds what is true of samples (size_factors, ...).
    True effects move both groups' means apart by equal amounts on the log scale, so that neither direction has more
    reads. The same arguments give the same bytes. Raises InputError for an unknown fault or a strength out of range.
    """
    strength = checked_strengths(faults)
    if min(n_genes, n_test, n_reference) < 1 or seed < 0:
        raise InputError(
            "a simulated cohort needs at least one gene, one sample in each group, and a seed of 0 or more"
        )
    is_case = np.arange(n_test + n_reference) < n_test  # (n_samples,)
    truth = _genes(n_genes, seed, population, strength)
    samples = _sample_table(is_case, seed, strength)

    size_factors = np.exp(_stream(seed, "size_factors").normal(0, population.size_factor_sd, is_case.size))
    size_factors /= np.exp(np.mean(np.log(size_factors)))
    size_factors[is_case] *= strength["depth_ratio"] ** 0.5
    size_factors[~is_case] /= strength["depth_ratio"] ** 0.5
    size_factors[is_case] *= _shift_composition(truth, seed, strength["composition_shift"])

    group_mean = np.where(is_case, truth[["mean_case"]], truth[["mean_control"]])  # (n_genes, n_samples)
    dispersion = np.where(is_case, truth[["dispersion_case"]], truth[["dispersion_control"]])  # (n_genes, n_samples)
    mean = group_mean * 2 ** _unwanted_log2(truth, samples, is_case, seed, strength) * size_factors
    counts = draw_counts(_stream(seed, "counts"), mean, dispersion)
    counts += _stray_reads(n_genes, is_case, seed, strength)
    counts = _damaged(counts, truth, is_case, seed, strength)

    truth.attrs["size_factors"] = size_factors.tolist()
    pairs = _swapped_pairs(is_case, strength["sample_swap"])
    for case, control in pairs:
        counts[:, [case, control]] = counts[:, [control, case]]
    truth.attrs["swapped"] = [[str(samples.index[i]) for i in pair] for pair in pairs]
    return Cohort(counts=frozen(counts), genes=truth.index, samples=samples), truth


def demo_study() -> tuple[Cohort, pd.DataFrame]:
    """Draw the study of the support thread "Coping with a label/class imbalance in DESeq2", tuned to resemble it.

    12,029 genes, 71 cases v 29 controls. The truth: 722 genes (6 %) have an effect (log2 sd 0.32), of which 30 % are
    forced down and the rest are symmetric; both groups have one dispersion per gene; every sample has one stray read
    per gene, and the controls are sequenced 2.5 times less deeply. So the shallower group meets its floor first: a
    stray read is worth more there after normalisation, controls look higher, and genes of low expression lean toward
    negative fold changes without any effect. The imbalance itself does nothing.

    Tuned: expression, dispersion, share, size and one-sidedness of effects, depth, stray reads, and the seed. DESeq2
    1.38.3 at adjusted p < 0.1 then says (the published study in brackets): 61 up (72), 89 down (114), 0 outliers (0),
    700 low counts with mean count < 36 (700, < 33); fold changes by 0.5 from -3 to 3: 0 0 0 7 143 5774 6011 91 3 0 0 0
    (1 2 2 5 74 5800 6052 90 3 0 0 0). Not reached: the few fold changes below -1.5.
    """
    return simulate(
        n_genes=12_029, n_test=71, n_reference=29, seed=DEMO_SEED, population=DEMO_POPULATION, **DEMO_FAULTS
    )


def draw_counts(rng: np.random.Generator, mean: Floats, dispersion: Floats) -> Floats:
    """Negative binomial counts of these means and dispersions (broadcast): variance = mean + dispersion mean^2."""
    mean, dispersion = np.broadcast_arrays(mean, dispersion)
    return rng.poisson(rng.gamma(1 / dispersion, mean * dispersion)).astype(np.float64)


def checked_strengths(faults: Mapping[str, float]) -> dict[str, float]:
    """All strengths, neutral where not given; InputError names what is unknown or out of range."""
    for name, value in faults.items():
        if name not in FAULTS:
            raise InputError(f"unknown fault {name!r}\nknown faults: {', '.join(FAULTS)}")
        knob = FAULTS[name]
        if not knob.low <= value <= knob.high:
            raise InputError(f"fault {name}={value:g} is out of range: {knob.low:g} to {knob.high:g} ({knob.meaning})")
    return {name: float(faults.get(name, knob.neutral)) for name, knob in FAULTS.items()}


def _stream(seed: int, part: str) -> np.random.Generator:
    """The random numbers of one part of the simulation."""
    return np.random.default_rng([seed, zlib.crc32(part.encode())])


def _genes(n_genes: int, seed: int, population: Population, strength: Mapping[str, float]) -> pd.DataFrame:
    """The truth of each gene before faults that act on samples."""
    rng = _stream(seed, "genes")
    base_mean = np.exp(rng.normal(population.log_mean, population.log_mean_sd, n_genes)) + population.smallest_mean
    if population.silent_share:
        silent = _stream(seed, "silent").permutation(n_genes)[: round(population.silent_share * n_genes)]
        base_mean[silent] *= 2**population.silent_log2
    spread = np.exp(rng.normal(0, population.dispersion_sd, n_genes))
    dispersion = (population.asymptote + population.extra / base_mean) * spread
    lfc = _effects(n_genes, seed, strength)
    columns = {
        "base_mean": base_mean,
        "dispersion": dispersion,
        "lfc": lfc,
        "mean_case": base_mean * 2 ** (lfc / 2),
        "mean_control": base_mean * 2 ** (-lfc / 2),
        "dispersion_case": dispersion * strength["group_dispersion_ratio"],
        "dispersion_control": dispersion,
    }
    digits = len(str(n_genes))
    names = pd.Index([f"gene{i:0{digits}d}" for i in range(1, n_genes + 1)], name="gene_id")
    return pd.DataFrame(columns, index=names)


def _effects(n_genes: int, seed: int, strength: Mapping[str, float]) -> Floats:
    """True log2 fold changes (n_genes,): normal in a share of the genes, a share of those forced down."""
    rng = _stream(seed, "effects")
    changed = rng.permutation(n_genes)[: round(strength["effect_share"] * n_genes)]
    effects = rng.normal(0, 1, changed.size) * strength["effect_sd"]
    forced = round(strength["one_sided"] * changed.size)
    effects[:forced] = -np.abs(effects[:forced])
    lfc = np.zeros(n_genes)
    lfc[changed] = effects
    return lfc


def _sample_table(is_case: NDArray[np.bool_], seed: int, strength: Mapping[str, float]) -> pd.DataFrame:
    """The sample table, with a column `batch` when a covariate is to be confounded with group."""
    digits = max(2, len(str(is_case.size)))
    order = np.where(is_case, np.cumsum(is_case), np.cumsum(~is_case))
    group = np.where(is_case, "case", "control")
    names = [f"{g}{i:0{digits}d}" for g, i in zip(group, order, strict=True)]
    table = pd.DataFrame({"group": group.astype(object)}, index=pd.Index(names, name="sample"))
    if strength["confounded_covariate"]:
        # within each group this share of samples sits in the other batch: none at association 1, half at 0
        elsewhere = (1 - strength["confounded_covariate"]) / 2
        rank = _stream(seed, "confounded_covariate").permutation(is_case.size)
        for level in (True, False):
            rank[is_case == level] = np.argsort(np.argsort(rank[is_case == level]))
        moved = rank < np.round(elsewhere * np.where(is_case, is_case.sum(), (~is_case).sum()))
        table["batch"] = np.where(is_case ^ moved, "b1", "b2").astype(object)
    return table


def _shift_composition(truth: pd.DataFrame, seed: int, share: float) -> float:
    """Let a few well-expressed genes take this share of the test group's reads; the factor on all its size factors."""
    if not share:
        return 1.0
    rng = _stream(seed, "composition_shift")
    well_expressed = np.argsort(truth["base_mean"].to_numpy())[-max(len(truth) // 4, 1) :]
    few = rng.permutation(well_expressed)[:COMPOSITION_GENES]
    mean, lfc = truth["mean_case"].to_numpy(copy=True), truth["lfc"].to_numpy(copy=True)
    total = mean.sum()
    rise = 1 + total / mean[few].sum() * share / (1 - share)
    mean[few] *= rise
    lfc[few] += np.log2(rise)
    truth["mean_case"], truth["lfc"] = mean, lfc
    truth["composition_shift"] = np.isin(np.arange(len(truth)), few)
    return float(total / mean.sum())


def _unwanted_log2(
    truth: pd.DataFrame, samples: pd.DataFrame, is_case: NDArray[np.bool_], seed: int, strength: Mapping[str, float]
) -> Floats:
    """What batches and a bad sample do to the log2 means, (n_genes, n_samples)."""
    n_genes = len(truth)
    change = np.zeros((n_genes, is_case.size))
    if strength["hidden_batch"]:
        rng = _stream(seed, "hidden_batch")
        late = rng.permutation(is_case.size) < is_case.size // 2
        truth["hidden_batch"] = rng.normal(0, 1, n_genes) * strength["hidden_batch"]
        truth.attrs["hidden_batch"] = [str(name) for name in samples.index[late]]
        change += np.outer(truth["hidden_batch"], late - 0.5)
    if strength["confounded_covariate"]:
        rng = _stream(seed, "batch_effects")
        touched = rng.random(n_genes) < BATCH_SHARE
        truth["batch"] = np.where(touched, rng.normal(0, BATCH_SD, n_genes), 0.0)
        change += np.outer(truth["batch"], (samples["batch"] == "b1").to_numpy() - 0.5)
    if strength["bad_sample"]:
        truth["bad_sample"] = _stream(seed, "bad_sample").normal(0, 1, n_genes) * strength["bad_sample"]
        truth.attrs["bad_sample"] = str(samples.index[0])
        change[:, 0] += truth["bad_sample"]
    return change


def _stray_reads(n_genes: int, is_case: NDArray[np.bool_], seed: int, strength: Mapping[str, float]) -> Floats:
    """Reads that belong to no gene's expression, (n_genes, n_samples): the same number whatever a sample's depth."""
    contamination = strength["contamination"]
    hit = is_case if contamination > 0 else ~is_case
    floor = strength["leakage"] + abs(contamination) * hit  # (n_samples,)
    if not floor.any():
        return np.zeros((n_genes, is_case.size))
    return _stream(seed, "stray_reads").poisson(floor, (n_genes, is_case.size)).astype(np.float64)


def _damaged(
    counts: Floats, truth: pd.DataFrame, is_case: NDArray[np.bool_], seed: int, strength: Mapping[str, float]
) -> Floats:
    """The counts (n_genes, n_samples) after losses and single extreme values."""
    lost = 1 - (1 - strength["zero_inflation"]) * (1 - strength["group_zero_inflation"] * is_case)  # (n_samples,)
    if lost.any():
        counts[_stream(seed, "zero_inflation").random(counts.shape) < lost] = 0
    if strength["outliers"]:
        rng = _stream(seed, "outliers")
        rows = rng.permutation(len(counts))[: round(strength["outliers"] * len(counts))]
        columns = rng.integers(0, is_case.size, rows.size)
        counts[rows, columns] = (counts[rows, columns] + OUTLIER_OFFSET) * OUTLIER_FACTOR
        truth["outlier"] = np.isin(np.arange(len(counts)), rows)
    return counts


def _swapped_pairs(is_case: NDArray[np.bool_], wanted: float) -> list[tuple[int, int]]:
    """Positions of a test and a reference sample whose labels are exchanged: the last ones of each group first."""
    pairs = zip(np.flatnonzero(is_case)[::-1], np.flatnonzero(~is_case)[::-1], strict=False)
    return [(int(case), int(control)) for case, control in pairs][: round(wanted)]
