"""A report made by hand: every status, every kind of metric, tables short and long, figures, hostile names."""

from functools import cache

import numpy as np
import pytest

from dediag import drawing
from dediag.finding import Figure, Finding, Metric, Status, Table
from dediag.report import Design, Explanation, FitSummary, InputFile, Inputs, Report, Stratum


def small_figure(dense: bool = False) -> str:
    rng = np.random.default_rng(7)
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    n = 12_000 if dense else 200
    mean = 10 ** rng.uniform(0, 4, n)
    drawing.cloud(left, mean, rng.normal(0, 1 / np.sqrt(1 + mean / 30)), "not_significant", label="genes")
    drawing.reference_line(left, 0.0, role="observed")
    left.set(xscale="log", xlabel="Base mean", ylabel="log₂ fold change", title="Fold change by expression")
    drawing.legend(left)
    drawing.histogram(right, rng.normal(0.02, 0.03, 400), 30, "test", label="balanced draws")
    drawing.band(right, -0.05, 0.05, axis="x", label="equivalence margin")
    drawing.reference_line(right, 0.031, axis="x", label="predicted")
    right.set(xlabel="Shift of the fold changes (log₂)", ylabel="Draws", title="Observed and predicted shift")
    drawing.legend(right)
    return drawing.to_svg(figure)


EXPLANATION = """Group coefficients of a saturated design are estimated from their own samples only.
To first order, unequal size changes `lfc_se` and not the fold change itself.

How to read it:
- the shift observed between balanced and full fits,
  with its prediction;
- the difference of the two, judged against `LIMIT`.

What it does not show: a bias <shared> by both groups & all draws."""

HOSTILE = '<script>alert("x")</script>'


@cache
def findings() -> tuple[Finding, ...]:
    genes = [f"ENSG{i:011d}" for i in range(45)]
    return (
        Finding(
            "imbalance",
            "Does the unequal group size bias the fold changes?",
            Status.PASS,
            "Balanced draws of 29 against 29 move the median fold change by 0.004 log2 (limit 0.05).",
            advice="Keep all samples: dropping 42 cases would cost power and correct nothing.",
            calls_at_risk=0,
            metrics=(
                Metric("draws", 100),
                Metric(
                    "lfc_bias_median", np.float64(0.0041234567891), low=-0.006, high=0.0135, limit=0.05, unit="log2"
                ),
                Metric("size_balanced", None),
                Metric("up_fraction_full", 0.3871, low=0.32, high=0.45),
            ),
            figures=(
                Figure(
                    "shift",
                    small_figure(dense=True),
                    "Left: all genes. Right: 100 draws.",
                    "Two panels: fold change by expression; histogram of shifts",
                ),
            ),
            tables=(
                Table("draws", "The draws.", {"draw": range(45), "shift": np.linspace(-0.02, 0.03, 45), "gene": genes}),
                Table(
                    "arms",
                    "The two arms.",
                    {"arm": ["balanced", "control"], "up_fraction": [0.41, np.nan], "p": [1.2345e-9, 0.0421]},
                ),
            ),
            explanation=EXPLANATION,
            references=("Love MI, Huber W, Anders S (2014) Genome Biology 15:550, eq. 3.",),
            seconds=3.2,
        ),
        Finding(
            "sign_asymmetry",
            "Is the up:down split more lopsided than this design would give by itself?",
            Status.WARN,
            "39 % of 186 calls are up; this design gives 44 % to 57 % by itself.",
            advice="Report the split together with the expected interval and look at the strata below base mean 50.",
            calls_at_risk=12,
            metrics=(Metric("p_value", 0.0000213), Metric("n_up", 72), Metric("n_down", 114)),
            figures=(Figure("split", small_figure(), "The split.", "Histogram of the up share"),),
            explanation="Flip each gene's effect by swapping its two means.",
        ),
        Finding(
            "noise_floor",
            "Below which expression does each group's data stop carrying information?",
            Status.WARN,
            "The control group stops carrying information below 0.9 CPM, 1.8 times the floor of the cases.",
            advice="Filter below 0.9 CPM in all samples, whatever their group.",
            calls_at_risk=31,
            metrics=(Metric("floor_ratio", 0.55, limit=1.5),),
        ),
        Finding(
            "heteroskedasticity",
            "Do the groups differ in dispersion, and what does that do to the error rate here?",
            Status.FAIL,
            "The actual error rate is about 19 % at nominal 5 %: the smaller group is 3.1 times as dispersed.",
            advice="Use group-wise dispersions with a Satterthwaite t test; 74 of 186 calls would remain.",
            calls_at_risk=112,
            metrics=(Metric("predicted_size", 0.19, limit=0.075), Metric("reliable", False), Metric("worst", HOSTILE)),
            tables=(Table("by_mean", "By expression.", {"base mean": ["0-10", HOSTILE], "ratio": [1.5, 3.25]}),),
        ),
        Finding(
            "log_scale_tests",
            "Do log-scale t-tests tell the same story?",
            Status.ERROR,
            "Stopped.",
            reason="ValueError: broke",
        ),
        Finding(
            "glm_agreement",
            "Does statsmodels give the same fit?",
            Status.NOT_ASSESSABLE,
            "",
            reason="Fewer than three samples in a group.",
        ),
        Finding(
            "my_own", "A question that is not in the catalogue?", Status.SKIPPED, "", reason="Left out with --skip."
        ),
    )


def make_report(*, created: str = "2024-05-01T12:00:00Z", only: frozenset[str] | None = None) -> Report:
    rng = np.random.default_rng(3)
    genes = [f"gene{i}" for i in range(50)]
    return Report(
        seed=1,
        command="dediag audit counts.tsv samples.tsv --design '~ group' --contrast group case control -o out",
        inputs=Inputs(
            InputFile("counts.tsv", "0" * 64, 12_029, 100, "matrix"),
            InputFile("samples.tsv", "f" * 64, None, 100, "sample table"),
            None,
            ("No finished results table: nothing is compared with it.", "No gene lengths: FPKM is not shown."),
        ),
        design=Design("~ group", "group", "case", "control", 71, 29),
        fit=FitSummary(0.1, 12_029, 72, 114, 0, 700, 33.2, "parametric", 0.6789, (f"write C(batch), {HOSTILE}",)),
        strata=(
            Stratum(None, 10, 800, 0, None, -0.0212),
            Stratum(10, 50, 2_301, 31, 0.19, -0.034),
            Stratum(50, 500, 6_000, 101, 0.41, 0.002),
            Stratum(500, None, 2_928, 54, 0.61, np.float32(0.011)),
        ),
        explanations=(
            Explanation("imbalance", "none", "Balanced draws give the same split."),
            Explanation("unequal_dispersion", "strong", "The smaller group is the more dispersed."),
            Explanation("noise_floor", "weak", "31 of 186 calls lie below the higher floor."),
        ),
        findings=tuple(f for f in findings() if only is None or f.id in only),
        tables=(
            Table(
                "fit",
                "The main fit, one row per gene.",
                {"gene": genes, "p": rng.uniform(size=50), "lfc": rng.normal(size=50).astype(np.float32)},
            ),
            Table("samples", "One row per sample.", {"sample": ["s1", "s2"], "size_factor": [1.0, np.nan]}),
        ),
        created=created,
        dediag_version="0.1.0",
    )


@pytest.fixture(scope="session")
def report() -> Report:
    return make_report()


@pytest.fixture(scope="session")
def make():
    """`make_report`, for variations."""
    return make_report
