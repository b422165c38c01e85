"""The simulated cohorts are what their truth says."""

import hashlib

import numpy as np
import pytest

from dediag.cohort import InputError
from dediag.model.fit import fit
from dediag.simulation import FAULTS, OUTLIER_FACTOR, OUTLIER_OFFSET, Population, demo_study, draw_counts, simulate

STRONG = {
    "effect_share": 0.5,
    "effect_sd": 2,
    "one_sided": 1,
    "group_dispersion_ratio": 4,
    "depth_ratio": 0.3,
    "leakage": 3,
    "contamination": -3,
    "composition_shift": 0.5,
    "bad_sample": 1,
    "outliers": 0.02,
    "zero_inflation": 0.1,
    "group_zero_inflation": 0.1,
    "hidden_batch": 0.7,
    "confounded_covariate": 0.8,
    "sample_swap": 2,
}


def small(**faults):
    return simulate(n_genes=1500, n_test=12, n_reference=8, seed=3, **faults)


def digest(cohort):
    return hashlib.sha256(cohort.counts.tobytes()).hexdigest()


def normalized(cohort, truth):
    return cohort.counts / np.asarray(truth.attrs["size_factors"])


def is_case(cohort):
    return (cohort.samples["group"] == "case").to_numpy()


def test_shapes_names_and_types():
    cohort, truth = small()
    assert cohort.counts.shape == (1500, 20)
    assert cohort.counts.dtype == np.float64
    assert not cohort.counts.flags.writeable
    assert np.array_equal(cohort.counts, np.floor(cohort.counts))
    assert list(cohort.samples["group"]) == ["case"] * 12 + ["control"] * 8
    assert truth.index.equals(cohort.genes)
    assert cohort.genes.is_unique
    assert cohort.samples.index.is_unique


def test_same_seed_same_bytes_other_seed_other_bytes():
    first, again, other = (simulate(n_genes=200, seed=seed, **STRONG)[0] for seed in (5, 5, 6))
    assert digest(first) == digest(again)
    assert digest(first) != digest(other)


def test_every_fault_has_a_strong_value_here_and_changes_the_counts():
    assert STRONG.keys() == FAULTS.keys()
    healthy = digest(small()[0])
    neutral, _ = small(**{name: knob.neutral for name, knob in FAULTS.items()})
    assert digest(neutral) == healthy
    for name, strength in STRONG.items():
        assert digest(small(**{name: strength})[0]) != healthy, name


@pytest.mark.parametrize("name", [n for n in STRONG if n not in ("effect_share", "effect_sd", "one_sided")])
def test_a_fault_leaves_genes_and_effects_as_they_are(name):
    _, healthy = small()
    _, truth = small(**{name: STRONG[name]})
    same = ~truth.get("composition_shift", truth["lfc"] != truth["lfc"])
    for column in ("base_mean", "lfc"):
        assert np.array_equal(truth.loc[same, column], healthy.loc[same, column])


def test_counts_are_negative_binomial():
    mean, dispersion = np.array([[5.0], [300.0]]), np.array([[0.4], [0.1]])
    counts = draw_counts(np.random.default_rng(1), np.broadcast_to(mean, (2, 200_000)), dispersion)
    expected = mean + dispersion * mean**2
    assert np.allclose(counts.mean(axis=1), mean[:, 0], rtol=0.01)
    assert np.allclose(counts.var(axis=1), expected[:, 0], rtol=0.03)


def test_effects_are_a_share_symmetric_and_swapped_about_the_midpoint():
    _, truth = simulate(n_genes=20_000, n_test=1, n_reference=1, effect_share=0.2, effect_sd=0.5)
    changed = truth.loc[truth["lfc"] != 0, "lfc"]
    assert len(changed) == 4000
    assert changed.std() == pytest.approx(0.5, rel=0.05)
    assert (changed > 0).mean() == pytest.approx(0.5, abs=0.03)
    assert np.allclose(np.log2(truth["mean_case"] / truth["mean_control"]), truth["lfc"])
    assert np.allclose(np.sqrt(truth["mean_case"] * truth["mean_control"]), truth["base_mean"])


@pytest.mark.parametrize(("one_sided", "down"), [(0, 0.5), (0.5, 0.75), (1, 1.0)])
def test_one_sided_forces_effects_down(one_sided, down):
    _, truth = simulate(n_genes=20_000, n_test=1, n_reference=1, one_sided=one_sided)
    changed = truth.loc[truth["lfc"] != 0, "lfc"]
    assert (changed < 0).mean() == pytest.approx(down, abs=0.03)


def test_dispersion_follows_the_trend():
    population = Population(asymptote=0.2, extra=3, dispersion_sd=0.4)
    _, truth = simulate(n_genes=20_000, n_test=1, n_reference=1, population=population)
    residual = np.log(truth["dispersion"] / (0.2 + 3 / truth["base_mean"]))
    assert residual.mean() == pytest.approx(0, abs=0.02)
    assert residual.std() == pytest.approx(0.4, rel=0.05)


def test_size_factors_are_those_of_the_counts():
    cohort, truth = small(depth_ratio=0.4)
    log_factors = np.log(truth.attrs["size_factors"])
    case = is_case(cohort)
    _, healthy = small()
    shift = log_factors - np.log(healthy.attrs["size_factors"])
    assert np.exp(shift[case].mean() - shift[~case].mean()) == pytest.approx(0.4)
    expressed = truth["base_mean"].to_numpy() > 200
    ratios = np.log(cohort.counts[expressed].mean(axis=0))
    assert np.corrcoef(ratios, log_factors)[0, 1] > 0.9


def test_group_dispersion_ratio_acts_on_the_test_group_only():
    cohort, truth = small(group_dispersion_ratio=4, effect_share=0)
    assert np.allclose(truth["dispersion_case"] / truth["dispersion_control"], 4)
    q, case = normalized(cohort, truth), is_case(cohort)
    expressed = truth["base_mean"].to_numpy() > 500
    moments = [(q[expressed][:, g].var(axis=1, ddof=1) / truth["base_mean"][expressed] ** 2) for g in (case, ~case)]
    assert np.mean(moments[0]) / np.mean(moments[1]) == pytest.approx(4, rel=0.2)


def test_stray_reads_do_not_scale_with_depth():
    bare, _ = small(depth_ratio=0.2)
    for faults, expected in (
        ({"leakage": 3}, (3, 3)),
        ({"contamination": 5}, (5, 0)),
        ({"contamination": -5}, (0, 5)),
    ):
        cohort, _ = small(depth_ratio=0.2, **faults)
        added, case = cohort.counts - bare.counts, is_case(cohort)
        assert added[:, case].mean() == pytest.approx(expected[0], rel=0.05)
        assert added[:, ~case].mean() == pytest.approx(expected[1], rel=0.05)


def test_composition_shift_takes_its_share_and_leaves_depth():
    cohort, truth = small(composition_shift=0.5)
    bare, _ = small()
    few, case = truth["composition_shift"].to_numpy(), is_case(cohort)
    means = truth["mean_case"].to_numpy()
    original = bare.counts[few][:, case].sum() / bare.counts[:, case].sum()
    assert means[few].sum() / means.sum() == pytest.approx(0.5 + 0.5 * original, abs=0.05)
    assert (truth.loc[few, "lfc"] > 1).all()
    assert cohort.counts[:, case].sum() == pytest.approx(bare.counts[:, case].sum(), rel=0.25)


def test_bad_sample_is_the_one_named():
    cohort, truth = small(bad_sample=1.5)
    log_q = np.log2(normalized(cohort, truth) + 1)
    spread = np.abs(log_q - np.median(log_q, axis=1, keepdims=True)).mean(axis=0)
    assert cohort.samples.index[np.argmax(spread)] == truth.attrs["bad_sample"]


def test_outliers_are_single_extreme_counts():
    cohort, truth = small(outliers=0.02)
    bare, _ = small()
    rows, columns = np.nonzero(cohort.counts != bare.counts)
    assert len(rows) == 30
    assert np.array_equal(np.sort(rows), np.flatnonzero(truth["outlier"]))
    assert np.array_equal(cohort.counts[rows, columns], (bare.counts[rows, columns] + OUTLIER_OFFSET) * OUTLIER_FACTOR)


@pytest.mark.parametrize(
    ("faults", "lost"), [({"zero_inflation": 0.2}, (0.2, 0.2)), ({"group_zero_inflation": 0.3}, (0.3, 0))]
)
def test_zero_inflation_loses_counts(faults, lost):
    cohort, truth = small(**faults)
    bare, _ = small()
    expressed, case = truth["base_mean"].to_numpy() > 300, is_case(cohort)
    for group, share in ((case, lost[0]), (~case, lost[1])):
        gone = (cohort.counts == 0) & (bare.counts > 0)
        assert gone[expressed][:, group].mean() == pytest.approx(share, abs=0.02)


def test_hidden_batch_is_in_no_column_and_moves_its_samples():
    cohort, truth = small(hidden_batch=1)
    assert list(cohort.samples) == ["group"]
    late = cohort.samples.index.isin(truth.attrs["hidden_batch"])
    assert 0 < late.sum() < len(late)
    log_q = np.log2(normalized(cohort, truth) + 1)[truth["base_mean"] > 300]
    effect = truth.loc[truth["base_mean"] > 300, "hidden_batch"]
    assert np.corrcoef(log_q[:, late].mean(axis=1) - log_q[:, ~late].mean(axis=1), effect)[0, 1] > 0.9


@pytest.mark.parametrize("association", [0.5, 1.0])
def test_confounded_covariate_follows_the_group(association):
    cohort, truth = simulate(n_genes=300, n_test=40, n_reference=20, confounded_covariate=association)
    table = np.array(
        [
            [((cohort.samples["group"] == g) & (cohort.samples["batch"] == b)).sum() for b in ("b1", "b2")]
            for g in ("case", "control")
        ]
    )
    shares = table / table.sum(axis=1, keepdims=True)
    assert shares[0, 0] - shares[1, 0] == pytest.approx(association, abs=0.03)
    assert (truth["batch"] != 0).mean() == pytest.approx(0.3, abs=0.1)


def test_sample_swap_exchanges_counts_not_names():
    cohort, truth = small(sample_swap=2)
    bare, _ = small()
    assert cohort.samples.equals(bare.samples)
    position = {name: i for i, name in enumerate(cohort.samples.index)}
    assert len(truth.attrs["swapped"]) == 2
    for case, control in truth.attrs["swapped"]:
        assert np.array_equal(cohort.counts[:, position[case]], bare.counts[:, position[control]])
        assert np.array_equal(cohort.counts[:, position[control]], bare.counts[:, position[case]])


@pytest.mark.parametrize(
    "faults", [{"no_such_fault": 1}, {"outliers": 2}, {"depth_ratio": 0}, {"one_sided": float("nan")}]
)
def test_wrong_faults_are_input_errors(faults):
    with pytest.raises(InputError, match=next(iter(faults))):
        small(**faults)


@pytest.mark.parametrize("arguments", [{"n_genes": 0}, {"n_test": 0}, {"n_reference": -1}, {"seed": -1}])
def test_impossible_sizes_are_input_errors(arguments):
    with pytest.raises(InputError, match="at least one gene"):
        simulate(**arguments)


def test_every_fault_is_explained():
    for name, knob in FAULTS.items():
        assert knob.low <= knob.neutral <= knob.high, name
        assert len(knob.meaning) > 20, name


def test_demo_study_resembles_the_published_one():
    cohort, truth = demo_study()
    assert cohort.counts.shape == (12_029, 100)
    assert (cohort.samples["group"] == "case").sum() == 71
    assert (cohort.counts.sum(axis=1) > 0).all()
    fitted = fit(cohort, "~ group", ("group", "case", "control"))
    called = fitted.padj < 0.1
    up, down = (called & (fitted.lfc > 0)).sum(), (called & (fitted.lfc < 0)).sum()
    assert 40 <= up <= 110
    assert 70 <= down <= 170
    assert down > up
    assert not (np.isnan(fitted.pvalue)).any()  # no outliers
    low_counts = np.isnan(fitted.padj).sum()
    assert 0.03 <= low_counts / cohort.n_genes <= 0.09
    assert 20 <= fitted.filter_threshold <= 60
    shares = np.histogram(fitted.lfc, [-3, -1, -0.5, 0, 0.5, 1, 3])[0]
    assert shares.sum() == cohort.n_genes
    assert shares[[2, 3]].sum() > 0.97 * cohort.n_genes  # within half a log2 unit, as many above as below 0
    assert shares[3] > shares[2] > 5500
    assert shares[0] > shares[-1]
    # the lean of genes of low expression is the controls' floor: no effect is true there
    low = (fitted.base_mean < 33) & (truth["lfc"] == 0).to_numpy()
    assert np.median(fitted.lfc[low]) < -0.05
    assert abs(np.median(fitted.lfc[fitted.base_mean > 500])) < 0.03


def test_silent_genes_are_a_second_class():
    population = Population(silent_share=0.4, silent_log2=-7.0)
    plain, with_silent = (simulate(n_genes=100, seed=1, population=p)[1] for p in (Population(), population))
    change = np.log2(with_silent["base_mean"] / plain["base_mean"])
    assert sorted(change.round(9).unique()) == [-7.0, 0.0]
    assert (change < 0).sum() == 40
    np.testing.assert_array_equal(with_silent["lfc"], plain["lfc"])
