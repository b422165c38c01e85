"""How many genes does this pipeline find when there is nothing to find?

What is measured: the whole pipeline (size factors, dispersions, trend, tests, adjustment) is run again on data in
which no gene differs between the groups, in three ways, and its calls and the share of genes with p < .05 are counted.

Why three: each sees something else. *Permuted labels* keep the samples as they are and deal the labels out anew,
within the design's other factors. They see outliers and hidden structure, but not unequal dispersion: both sides of a
permuted split hold samples of both groups, hence the same mixture of dispersions, so a test that is wrong for this
study is right for every permuted one. And true effects do not go away: they are a part of the permuted samples'
variance, and where a split happens to resemble the true one they are found again, which is why permutations are judged
only where the second way is not open. *Mock splits* divide the larger group alone at the study's own ratio: no true
effects at all, but one group's variance only, and fewer samples. The *bootstrap* draws cohorts without effect from the
fit, each group with its own dispersions: it sees what unequal dispersions do to the tests, through variance and
through normalisation, but its genes and samples are independent and its counts negative binomial.

How to read it: a valid test gives p < .05 to 5 % of genes without effect. The mean over splits says whether it does on
average; the 90th percentile whether a single split, such as the study, can be far off: genes vary together, so that an
unknown cause which happens to follow a split makes many false calls at once. Winsorised: some of the same splits after
each gene's normalised counts are cut at their 95th percentile (the bootstrap's have no outliers to be cut). Its size is
read with the interval of the groups' dispersion ratio, by the end that is nearer to health; it is about .01 too high in
healthy studies of 5 v 20, which the limits allow for.

What it does not show: few distinct splits say little (3 v 3 has ten), and splits of the same samples are no
independent repetitions. Real replicates share more than a model does: of 100 splits of clean replicates of one strain
63 warn. A pipeline that passes may still be confounded. Counts that are not negative binomial (goodness_of_fit) make
the bootstrap wrong. Without group dispersions there is none, with fewer than 6 samples in the larger group no mock
split.

References:
- Li, Ge, Peng, Li, Li (2022) Exaggerated false positives by popular differential expression methods when analyzing
  human population samples. Genome Biol 23:79
- Yang, Zhang, Chen (2024) Winsorization greatly reduces false positives by popular differential expression methods
  when analyzing human population samples. Genome Biol 25, doi 10.1186/s13059-024-03230-w
- Huang, Xu, Calian, Hsu (2006) To permute or not to permute. Bioinformatics 22:2244
- Davison, Hinkley (1997) Bootstrap Methods and their Application, chapter 4. Cambridge University Press
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.resample.null_replicates import FalseCalls, NullReplicates
from dediag.resample.null_splits import distinct_permutations, mock_splits, permutations, winsorised
from dediag.resample.refit import LEVEL
from dediag.rounding import counted, fixed, listed, settled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dediag.resample.plans import Plan
    from dediag.stats.error_model import Estimate
    from dediag.study import Study

    Array = NDArray[np.float64]

# reports/validation: one of 1,700 healthy cohorts warned, 45 of 45 with a dispersion ratio of 4 did. Highest of the
# healthy ones: bootstrap .070 (its interval reaches down), mock splits .062, one in ten above .076.
WARN_SIZE = 0.067  # share of genes without effect with p < .05: the interval of the bootstrap's lies above
FAIL_SIZE = 0.10
LOW_SIZE = 0.04  # the interval of the bootstrap's lies below: power is given away
MOCK_SIZE = 0.08  # mean of mock splits (or permutations, where there are none)
MOCK_TAIL = 0.10  # their 90th percentile
HELD, OFTEN = 0.25, 0.05  # of the false calls in a sample that is named; of the splits that call a gene at risk
FEWEST_SPLITS, FEWEST_GENES = 5, 100  # that say something about an error rate
WINSORISED_AT, WINSORISED_SHARE = 0.95, 0.25  # quantile, and share of the splits
MOCK_SHARE, GENES_SHOWN = 0.5, 50  # mock splits per permutation; rows of a table
NUMBERS = (  # metric, its null, what of it, its limit
    ("permutation_size", "permutations", "size", None),
    ("permutation_hits_median", "permutations", "hits_median", None),
    ("permutation_hits_p90", "permutations", "hits_p90", None),
    ("mock_split_size", "mock splits", "size", MOCK_SIZE),
    ("bootstrap_size", "bootstrap", "size", WARN_SIZE),
    ("permutation_size_winsorised", "permutations, winsorised", "size", None),
    ("mock_split_size_p90", "mock splits", "size_p90", MOCK_TAIL),
    ("mock_split_size_winsorised", "mock splits, winsorised", "size", None),
    ("bootstrap_hits_median", "bootstrap", "hits_median", None),
)


@dataclass(frozen=True)
class NullCalibration:
    """What is found where nothing is, by way of getting there."""

    larger: str  # the group that mock splits divide
    nulls: Mapping[str, NullReplicates]  # by name, those there are
    predicted: Estimate | None  # error rate by formula, with the interval of the groups' dispersion ratio
    remedy: str  # the command for unequal dispersions
    distinct: int  # splits of the labels
    called: NDArray[np.bool_]  # (n_genes,) by the study
    base_mean: Array  # (n_genes,)
    genes: NDArray[np.intp]  # positions of those most often called where nothing is to be found
    gene_names: tuple[str, ...]
    holders: tuple[str, ...]  # the sample with the largest normalised count of each of those
    samples: Mapping[str, float]  # share of the false calls whose largest count is in a sample, largest first

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The bootstrap's size over the interval of the groups' dispersion ratio, in proportion to the formula's."""
        if "bootstrap" not in self.nulls:
            return None
        size, predicted = self.nulls["bootstrap"].size, self.predicted
        if predicted is None or not predicted.known:
            return None
        return size * predicted.low / predicted.value, size * predicted.high / predicted.value

    @property
    def cautious(self) -> bool:
        """Whether unequal dispersions, not only low counts, make the test surely conservative."""
        low = self.predicted is not None and self.predicted.high <= LOW_SIZE
        return low and self.bounds is not None and self.bounds[1] <= LOW_SIZE

    @property
    def plain(self) -> Mapping[str, NullReplicates]:
        """Those without winsorising."""
        return {name: null for name, null in self.nulls.items() if "winsorised" not in name}

    @property
    def splits(self) -> str:
        """The null that shows hidden structure best: mock splits, or else permutations."""
        return "mock splits" if "mock splits" in self.nulls else "permutations"

    @property
    def judged(self) -> str | None:
        """That null, if its splits are enough to be judged."""
        found = self.nulls.get(self.splits)
        return None if found is None or len(found.hits) < FEWEST_SPLITS else self.splits

    def at_risk(self, name: str) -> int:
        """Calls of the study that a null makes often as well."""
        return int((self.called & (self.nulls[name].called >= OFTEN)).sum())


def plan(study: Study) -> Mapping[str, Plan]:
    """The splits and the simulated cohorts, as far as this study has them."""
    if study.in_interaction:
        return {}
    n, fit = study.settings.permutations, study.fit
    asked: dict[str, Plan] = {}
    for name, make, share in (("permutations", permutations, 1.0), ("mock splits", mock_splits, MOCK_SHARE)):
        splits = make(fit, math.ceil(n * share), study.rng(name))
        if splits is not None:
            few = math.ceil(len(splits.test) * WINSORISED_SHARE)
            asked |= {name: splits, f"{name}, winsorised": winsorised(splits, few, WINSORISED_AT)}
    if study.has_group_dispersions:
        asked["bootstrap"] = study.without_effect
    return asked


def compute(study: Study) -> NullCalibration:
    """Count what is found."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so its labels cannot be dealt out anew")
    if np.isfinite(study.fit.pvalue).sum() < FEWEST_GENES:
        raise NotAssessable(f"fewer than {FEWEST_GENES} genes were tested")
    refits = {name: study.ensemble(wanted) for name, wanted in plan(study).items()}
    nulls = {name: found for name in refits if (found := NullReplicates.of(refits[name])) is not None}
    if not nulls:
        raise NotAssessable("there is no other way to label these samples, and too few for a bootstrap")
    fit, both = study.fit, study.test_samples | study.reference_samples
    larger = study.reference_samples if study.n_test <= study.n_reference else study.test_samples
    judged, split = (nulls["mock splits"], larger) if "mock splits" in nulls else (nulls.get("permutations"), both)
    names = fit.cohort.samples.index[split].astype(str)
    false = FalseCalls.of([] if judged is None else [judged], study.normalized[:, split], GENES_SHOWN)
    return NullCalibration(
        larger=str(fit.contrast.reference if study.n_test <= study.n_reference else fit.contrast.test),
        nulls=nulls,
        predicted=study.predicted_size if "bootstrap" in nulls else None,
        remedy=study.remedy,
        distinct=distinct_permutations(fit),
        called=study.significant,
        base_mean=fit.base_mean,
        genes=false.genes,
        gene_names=tuple(map(str, fit.cohort.genes[false.genes])),
        holders=tuple(names[false.holders]),
        samples=dict(zip(names[false.samples], false.shares.tolist(), strict=True)),
    )


def judge(result: NullCalibration) -> Verdict:
    """Limits on the bootstrap's interval, and on the mean and the tail of splits within one group."""
    alarms = []
    if result.bounds is not None and result.bounds[0] >= WARN_SIZE:
        alarms.append((result.bounds[0] >= FAIL_SIZE, "bootstrap", _UNEQUAL.format(result.remedy)))
    elif result.cautious:
        alarms.append((False, "bootstrap", _UNEQUAL_LOW.format(result.remedy)))
    if (name := result.judged) is not None:
        null = result.nulls[name]
        # what true effects do to permutations is no fault: only their mean is judged
        if null.size >= MOCK_SIZE or (name == "mock splits" and null.size_p90 >= MOCK_TAIL):
            alarms.append((null.size >= FAIL_SIZE, name, _structure_advice(result)))
    if not alarms:
        return Verdict(Status.PASS, _sentence(result), "Nothing to do.", calls_at_risk=0)
    status = Status.FAIL if any(bad for bad, _, _ in alarms) else Status.WARN
    at_risk = max(result.at_risk(name) for _, name, _ in alarms)
    return Verdict(status, _sentence(result), " ".join(advice for _, _, advice in alarms), at_risk)


_UNEQUAL = (
    "The groups differ in dispersion, which permuted labels cannot see (both sides of a permuted split hold samples of"
    " both groups): use `{}` beside this list, and read heteroskedasticity."
)
_UNEQUAL_LOW = "The test is too cautious, since the larger group is the more dispersed: `{}` finds what it misses."


def _structure_advice(result: NullCalibration) -> str:
    mock = result.splits == "mock splits"
    worst, share = next(iter(result.samples.items()))
    plain, cut = result.nulls[result.splits].sizes, result.nulls.get(f"{result.splits}, winsorised")
    same = 0.0 if cut is None else float(np.quantile(plain[: len(cut.sizes)], 0.9))  # of the splits that were cut
    clean = cut is not None and same >= MOCK_TAIL and cut.size_p90 - LEVEL <= (same - LEVEL) / 2
    cause = (
        "Cut extreme counts, or test by ranks: winsorised counts do not make these false calls"
        if clean
        else "Look for a batch or another cause that the design leaves out (confounding, sample_quality)"
    )
    where = f"Within {result.larger} alone" if mock else "Among permuted labels"
    held = f"; {worst} holds the largest count in {100 * share:.0f} % of the false calls" if share >= HELD else ""
    return f"{where} something other than the groups moves many genes together. {cause}{held}."


def _sentence(result: NullCalibration) -> str:
    """The error rates under each null with their limits, and the most calls that one makes."""
    where = {
        "permutations": "with permuted labels",
        "mock splits": f"in mock splits of {result.larger}",
        "bootstrap": "in cohorts simulated with each group's own dispersion",
    }
    sizes = listed([f"{_size(result, name)} {where[name]}" for name in result.plain])
    most = counted(round(max(null.hits_median for null in result.plain.values())), "gene")
    study = f"the study calls {result.called.sum():,}"
    return f"With nothing to find, p < .05 comes to {sizes}; at most a median of {most} is called ({study})."


def _size(result: NullCalibration, name: str) -> str:
    """The error rate under a null, with the judged numbers and their limits."""
    null, mean = result.nulls[name], 100 * result.nulls[name].size
    if name == "bootstrap" and result.bounds is not None:
        low, high = (100 * bound for bound in result.bounds)
        if result.cautious:
            judged = f"at most {settled(high, 100 * LOW_SIZE, digits=2)} %, limit {100 * LOW_SIZE:g} %"
        else:
            limit = 100 * (FAIL_SIZE if low >= 100 * FAIL_SIZE else WARN_SIZE)
            judged = f"at least {settled(low, limit, digits=2)} %, limit {limit:g} %"
        return f"{fixed(mean, 1)} % ({judged})"
    if name != result.judged:
        return f"{fixed(mean, 1)} %"
    limit = 100 * (FAIL_SIZE if null.size >= FAIL_SIZE else MOCK_SIZE)
    tail = settled(100 * null.size_p90, 100 * MOCK_TAIL, digits=2)
    far = f"; one split in ten above {tail} %, limit {100 * MOCK_TAIL:g} %" if name == "mock splits" else ""
    return f"{settled(mean, limit, digits=2)} % (limit {limit:g} %{far})"


def metrics(result: NullCalibration) -> list[Metric]:
    """The numbers of report.json."""
    found = []
    for name, of, value, limit in NUMBERS:
        null = result.nulls.get(of)
        unit = "genes" if value.startswith("hits") else None
        low, high = (result.bounds or (None, None)) if name == "bootstrap_size" else (None, None)
        found.append(Metric(name, None if null is None else getattr(null, value), low, high, limit, unit))
    return [*found, Metric("distinct_splits", result.distinct)]


def tables(result: NullCalibration) -> list[Table]:
    """What each null finds; the genes it finds most often; the samples behind them."""
    found, values = result.nulls, ("size", "size_p90", "hits_mean", "hits_median", "hits_p90")
    by_null: dict[str, list[object]] = {"null": list(found), "replicates": [len(null.hits) for null in found.values()]}
    by_null |= {value: [getattr(null, value) for null in found.values()] for value in values}
    by_gene: dict[str, list[object]] = {
        "gene_id": list(result.gene_names), "base_mean": result.base_mean[result.genes].tolist()
    }  # fmt: skip
    by_gene |= {f"called_in_{name}": null.called[result.genes].tolist() for name, null in result.plain.items()}
    by_gene |= {"called_by_the_study": result.called[result.genes].tolist(), "largest_count_in": list(result.holders)}
    return [
        Table(
            "nulls",
            "Share of genes with p < .05 (size) and calls (hits) where nothing is to be found; the study calls "
            f"{result.called.sum():,}. Of {result.distinct:,} distinct splits of the labels the study's is one.",
            by_null,
        ),
        Table(
            "genes",
            f"Genes called most often in {result.splits}, with the sample that holds their largest count there.",
            by_gene,
        ),
        Table(
            "samples",
            "Share of the false calls (permutations and mock splits) whose largest normalised count a sample holds; "
            f"{1 / max(len(result.samples), 1):.3f} if all were alike.",
            {"sample": list(result.samples), "share": list(result.samples.values())},
        ),
    ]


def draw(result: NullCalibration) -> list[Figure]:
    """Error rates over the replicates of each null, and their calls beside the study's."""
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    shown = result.plain.items()
    at = np.arange(len(shown), dtype=float)
    low, middle, high = np.array([np.quantile(null.sizes, (0.1, 0.5, 0.9)) for _, null in shown]).T
    drawing.intervals(left, at, middle, low, high, role="observed")
    drawing.reference_line(left, 0.05, role="not_significant", label="nominal")
    drawing.reference_line(left, MOCK_TAIL, label="limit of the upper end, mock splits")
    left.set_xticks(at, [name for name, _ in shown])
    left.set(ylabel="share with p < .05", title="Median, 10th to 90th percentile", ylim=(0.0, None))
    left.set_xlim(-0.6, len(shown) - 0.4)
    drawing.legend(left)
    for style, (name, null) in zip(drawing.SERIES, shown, strict=False):
        ordered = np.sort(null.hits)
        drawing.curve(right, (np.arange(len(ordered)) + 0.5) / len(ordered), ordered, style, label=name)
    drawing.reference_line(right, float(result.called.sum()), label="the study")
    right.set_yscale("symlog", linthresh=1.0)
    right.set(xlabel="share of the replicates", ylabel="calls", title="Calls with nothing to find", ylim=(0.0, None))
    drawing.legend(right)
    parts = ", ".join(f"{name} {null.size:.3f}" for name, null in shown)
    return [
        Figure(
            "nulls",
            drawing.to_svg(figure),
            "Left: share of genes with p < .05 in each way of having nothing to find. Right: calls of each replicate, "
            "sorted; the line is what the study calls.",
            f"Mean share with p < .05: {parts}.",
        )
    ]


DIAGNOSTIC = Diagnostic(
    section="variance",
    metric_names=(
        *("permutation_size", "permutation_hits_median", "permutation_hits_p90", "mock_split_size"),
        *("bootstrap_size", "distinct_splits"),
    ),
    plan=plan,
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("group_dispersion_ratio", strength=4, expects=frozenset({"warn", "fail"})),
)
