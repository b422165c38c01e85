"""Explanations: silent when nothing is surprising, in a fixed order, and never firmer than the findings."""

from dataclasses import replace

import pytest

from dediag.diagnostics import heteroskedasticity, normalization
from dediag.finding import Finding, Metric, Status, Table
from dediag.report import schema
from dediag.synthesis import CANDIDATES, PARTICULAR, Explanation, explain, ranked, surprising, trouble

W, P, F = Status.WARN, Status.PASS, Status.FAIL


def finding(name: str, status: Status, **metrics: float | None) -> Finding:
    return Finding(name, "?", status, f"headline of {name}", metrics=tuple(Metric(k, v) for k, v in metrics.items()))


def audit(
    asymmetry: Status = W,
    imbalance: Status = P,
    floor: Status = P,
    variance: Status = P,
    *,
    up: float = 0.2,
    shift: float = -0.05,
    below: float = 30,
    above_up: float = 0.2,
) -> list[Finding]:
    return [
        finding("imbalance", imbalance, lfc_bias_median=0.004, lfc_bias_predicted=0.003, up_fraction_full=up,
                up_fraction_balanced=0.22),
        finding("sign_asymmetry", asymmetry, up_fraction=up, expected_up_fraction=0.5),
        finding("noise_floor", floor, n_de_below=below, up_fraction_below=0.1, up_fraction_above=above_up),
        finding("heteroskedasticity", variance, log2_dispersion_ratio=2.0, predicted_size=0.19, shift_log2=shift),
        finding("log_scale_tests", P),
    ]  # fmt: skip


def support(findings: list[Finding]) -> dict[str, str]:
    return {e.id: e.support for e in explain(findings)}


def statements(findings: list[Finding]) -> dict[str, str]:
    return {e.id: e.statement for e in explain(findings)}


def test_nothing_surprising_nothing_to_explain() -> None:
    assert explain(audit(asymmetry=P)) == []
    assert explain([]) == []
    assert explain([finding("log_scale_tests", F), finding("glm_agreement", W)]) == []


def test_fixed_order() -> None:
    expected = ["imbalance", "dispersion_shift", "noise_floor", "unequal_dispersion", "biology"]
    assert list(support(audit())) == expected
    assert list(support(audit()[::-1])) == expected


def test_support_repeats_the_verdicts() -> None:
    found = support(audit(imbalance=F, floor=W, variance=W))
    assert found["imbalance"] == "strong"
    assert found["noise_floor"] == "moderate"
    assert found["unequal_dispersion"] == "moderate"
    assert found["dispersion_shift"] == "weak"
    assert found["biology"] == "none"


def test_a_shift_the_other_way_explains_nothing() -> None:
    away = audit(variance=W, shift=0.05)
    assert support(away)["dispersion_shift"] == "none"
    assert "lean the other way (down)" in statements(away)["dispersion_shift"]


def test_biology_is_what_remains_above_the_floors() -> None:
    assert support(audit())["biology"] == "moderate"
    assert support(audit(above_up=0.55))["biology"] == "none"
    assert support(audit(variance=F))["biology"] == "none"
    assert "unequal_dispersion first" in statements(audit(variance=F))["biology"]
    assert support(audit(asymmetry=P, variance=F))["biology"] == "none"  # nothing leans: not needed
    assert "Not needed: 20 % of the calls are up" in statements(audit(asymmetry=P, variance=F))["biology"]


def test_floors_without_calls_below_explain_nothing() -> None:
    assert support(audit(below=0, floor=W))["noise_floor"] == "none"
    assert support(audit(below=0))["noise_floor"] == "none"
    assert support(audit(below=3))["noise_floor"] == "weak"
    assert support(audit(below=3, above_up=0.08))["noise_floor"] == "none"  # the calls above it lean as much
    assert support(audit(below=30, floor=W, above_up=0.45))["noise_floor"] == "strong"  # and here hardly


def test_what_gave_no_answer_is_not_excluded() -> None:
    findings = audit()
    findings[0] = Finding("imbalance", "?", Status.NOT_ASSESSABLE, "", reason="interaction.")
    findings[3] = Finding("heteroskedasticity", "?", Status.ERROR, "ValueError: broke")
    found = statements(findings)
    assert found["imbalance"] == "Not excluded: imbalance gave no answer (interaction)."
    assert found["unequal_dispersion"] == "Not excluded: heteroskedasticity gave no answer (ValueError: broke)."


def test_skipped_diagnostics_are_not_spoken_of() -> None:
    findings = audit()
    findings[2] = Finding("noise_floor", "?", Status.SKIPPED, "")
    assert "noise_floor" not in support(findings)
    assert "biology" not in support(findings)


@pytest.mark.parametrize("value", [None, float("nan")])
def test_missing_numbers_are_not_made_up(value) -> None:
    findings = [finding("imbalance", W, lfc_bias_median=value), finding("noise_floor", W, n_de_below=value),
                finding("heteroskedasticity", F, shift_log2=value, predicted_size=value)]  # fmt: skip
    assert explain(findings) == [
        Explanation("imbalance", "moderate", "headline of imbalance"),
        Explanation("noise_floor", "moderate", "headline of noise_floor"),
        Explanation("unequal_dispersion", "strong", "headline of heteroskedasticity"),
    ]


def imbalance_of(status: Status, low: float, high: float) -> Finding:
    """Imbalance with an interval of the difference between observed and predicted shift."""
    plain = audit()[0]
    interval = (Metric("lfc_bias_ci_low", low, limit=-0.05), Metric("lfc_bias_ci_high", high, limit=0.05))
    control = Metric("up_fraction_control", 0.21)
    return Finding("imbalance", "?", status, "18 % of genes ...", metrics=(*plain.metrics, *interval, control))


@pytest.mark.parametrize("status", [W, F])
def test_an_alarm_of_imbalance_about_the_error_rate_explains_no_asymmetry(status) -> None:
    findings = [imbalance_of(status, -0.01, 0.01), *audit(variance=F)[1:]]
    assert support(findings)["imbalance"] == "none"
    statement = statements(findings)["imbalance"]
    assert "its alarm is about the error rate" in statement
    assert "18 % of genes" not in statement
    assert "20 % in the full data, 22 % in balanced draws, 21 % in control draws" in statement
    assert support(findings)["unequal_dispersion"] == "strong"


@pytest.mark.parametrize(("low", "high"), [(0.06, 0.09), (-0.09, -0.06)])
def test_an_alarm_of_imbalance_about_a_shift_does(low, high) -> None:
    assert support([imbalance_of(F, low, high), *audit()[1:]])["imbalance"] == "strong"


def test_an_unstable_list_and_a_heavy_sample_are_surprises() -> None:
    calm = audit(asymmetry=P)
    sample = finding("influence", F, de_change_worst=-40, cooks_share_worst=0.31)
    sample = Finding(
        "influence", "?", F, "Sample s7 carries it.", metrics=(Metric("worst_sample", "s7"), *sample.metrics)
    )
    lists = finding("replicability", W, jaccard_observed=0.31, jaccard_expected=0.62)
    assert explain([*calm, finding("replicability", P, jaccard_observed=0.2)]) == []
    order = ["imbalance", "dispersion_shift", "noise_floor", "unequal_dispersion"]
    assert list(support([*calm, lists])) == [*order, "biology"]
    found = [*calm, sample, lists]
    assert support(found)["one_sample"] == "strong"
    assert list(support(found)) == [*order, "one_sample", "biology"]
    statement = statements(found)["one_sample"]
    for said in (
        "Without s7 the number of calls changes by -40",
        "31 % of all Cook's",
        "overlap by 0.31",
        "gives 0.62",
    ):
        assert said in statement


def test_new_diagnostics_change_nothing_where_they_are_absent_and_keep_the_order_where_they_are() -> None:
    more = [
        finding("influence", P, de_change_worst=1, cooks_share_worst=0.1), finding("convergence", P),
        finding("replicability", P), finding("group_weights", P, max_lfc_change=1e-6),
    ]  # fmt: skip
    before = {e.id: e for e in explain(audit())}
    after = {e.id: e for e in explain([*audit(), *more])}
    assert [i for i in after if i in before] == list(before)
    assert set(after) - set(before) == {"one_sample", "model_misfit"}
    assert {after[i].support for i in ("one_sample", "model_misfit")} == {"none"}
    assert "moves no fold change by more than 1e-06" in after["imbalance"].statement
    assert [after[i] for i in before if i != "imbalance"] == [before[i] for i in before if i != "imbalance"]


def test_the_firmest_comes_first_and_of_equals_the_more_particular() -> None:
    names = {"unequal_dispersion": "strong", "one_sample": "strong", "noise_floor": "moderate", "biology": "none"}
    given = [Explanation(name, support, "") for name, support in names.items()]
    assert [e.id for e in ranked(given)] == ["one_sample", "unequal_dispersion", "noise_floor"]
    assert ranked([]) == []
    ids = schema.load()["$defs"]["explanation"]["properties"]["id"]["enum"]
    assert set(PARTICULAR) == set(ids)


def test_the_zero_point_is_weighed_against_what_would_balance_the_list() -> None:
    def zero(widest: float, balancing: float, low: float, high: float, status: Status = P) -> list[Finding]:
        moved = Metric("max_shift_log2", widest, low, high, 0.1)
        found = Finding("normalization", "?", status, "h", metrics=(moved, Metric("balancing_shift_log2", balancing)))
        return [*audit(), found]

    assert support(zero(0.07, 0.12, 0.04, 0.1))["normalization"] == "weak"
    assert "make up 58 % of the lean" in statements(zero(0.07, 0.12, 0.04, 0.1))["normalization"]
    assert support(zero(0.03, 0.12, 0.0, 0.06))["normalization"] == "none"
    assert support(zero(-0.07, 0.12, -0.1, -0.04))["normalization"] == "none"  # the other way
    assert support(zero(0.2, 0.3, 0.15, 0.25, W))["normalization"] == "moderate"
    assert support(zero(0.2, 0.9, 0.15, 0.25, W))["normalization"] == "weak"
    assert support(zero(0.9, 0.9, 0.8, 1.0, F))["normalization"] == "strong"


def test_depth_that_goes_with_the_groups_is_the_floors_matter() -> None:
    depth = Finding("confounding", "?", W, "Depth goes with the groups.", metrics=(
        Metric("worst_covariate", None), Metric("depth_ratio", 0.1, limit=2.5)))  # fmt: skip
    assert support([*audit(), depth])["confounding"] == "weak"
    batch = Finding("confounding", "?", W, "h", metrics=(Metric("worst_covariate", "batch"), *depth.metrics[1:]))
    assert support([*audit(), batch])["confounding"] == "moderate"


def test_a_shift_that_makes_the_error_rate_is_the_zero_points_matter() -> None:
    def groups(size: float, without: float) -> list[Finding]:
        shift = Metric("shift_log2", 0.13, 0.12, 0.14, 0.05)
        more = (Metric("predicted_size", size), Metric("size_without_shift", without), shift)
        return [Finding("heteroskedasticity", "?", F, "h", metrics=more), finding("influence", P)]

    assert support(groups(0.02, 0.015))["dispersion_shift"] == "moderate"  # too few calls are not too many
    even, uneven = support(groups(0.15, 0.05)), support(groups(0.22, 0.186))
    assert (even["dispersion_shift"], even["unequal_dispersion"]) == ("strong", "weak")
    assert (uneven["dispersion_shift"], uneven["unequal_dispersion"]) == ("moderate", "strong")


def test_ids_are_those_of_the_schema_in_its_order() -> None:
    ids = schema.load()["$defs"]["explanation"]["properties"]["id"]["enum"]
    named = [name for name, _, _ in CANDIDATES]
    assert named == [i for i in ids if i in named]


def test_a_batch_is_weighed_by_mock_splits_and_a_surrogate() -> None:
    tail = Metric("mock_split_size_p90", 0.16, limit=0.1)
    nulls = Finding("null_calibration", "?", W, "headline", metrics=(tail,))
    assert support([*audit(), nulls])["batch"] == "moderate"
    assert "p < .05 in 16 % of the genes" in statements([*audit(), nulls])["batch"]
    calm = Finding("null_calibration", "?", F, "headline", metrics=(Metric("mock_split_size_p90", 0.06, limit=0.1),))
    assert support([*audit(), calm])["batch"] == "none"  # its alarm is about something else

    def shape(hill: float, simulated: float, surrogate: float) -> Finding:
        given = (Metric("right_excess", hill, limit=0.2), Metric("right_excess_simulated", simulated))
        return Finding("p_value_shape", "?", W, "", metrics=(*given, Metric("right_excess_surrogate", surrogate)))

    assert support([*audit(), calm, shape(0.5, 0.0, 0.02)])["batch"] == "moderate"
    assert support([*audit(), calm, shape(0.5, 0.4, 0.02)])["batch"] == "none"  # unequal dispersions make it
    assert support([*audit(), calm, shape(0.5, 0.0, 0.4)])["batch"] == "none"
    assert support([*audit(), calm, shape(-0.8, 0.0, -0.8)])["batch"] == "none"  # no hill
    assert "batch" not in support([*audit(), finding("p_value_shape", P, right_excess=0.0)])


def test_one_sample_and_misfit_take_the_firmest_of_two_verdicts() -> None:
    judged = [finding("influence", P), finding("sample_quality", F)]
    assert support([*audit(), *judged])["one_sample"] == "strong"
    assert "headline of sample_quality" in statements([*audit(), *judged])["one_sample"]
    assert support([*audit(), judged[0]])["one_sample"] == "none"
    misfit = [finding("convergence", P), finding("goodness_of_fit", W)]
    assert support([*audit(asymmetry=P), *misfit])["model_misfit"] == "moderate"
    assert support([*audit(), *misfit])["model_misfit"] == "weak"  # it has no direction, and the calls lean


def test_a_sample_that_changes_few_calls_does_not_make_a_list_lean() -> None:
    def with_sample(change: float, status: Status = W) -> str:
        lean = finding("sign_asymmetry", W, up_fraction=0.2, expected_up_fraction=0.5, n_up=40, n_down=160)
        rest = [f for f in audit() if f.id != "sign_asymmetry"]
        return support([*rest, lean, finding("influence", status, de_change_worst=change)])["one_sample"]

    assert with_sample(-4) == "weak"
    assert with_sample(-60) == "moderate"
    assert with_sample(-4, F) == "strong"


def test_alike_floors_are_told_from_depth() -> None:
    def floors(ratio: float, biological: float = 1.0) -> list[Finding]:
        shares = (Metric("n_de_below", 30), Metric("up_fraction_below", 0.05), Metric("up_fraction_above", 0.45))
        leaks = (Metric("biological_floor_test", 0.2 * biological), Metric("biological_floor_reference", 0.2))
        floor = Finding("noise_floor", "?", W, "h", metrics=(*shares, *leaks, Metric("floor_ratio", ratio, limit=2.5)))
        return [*(f for f in audit() if f.id != "noise_floor"), floor]

    assert support(floors(1.1))["noise_floor"] == "moderate"
    assert "so it is not their depth" in statements(floors(1.1))["noise_floor"]
    assert support(floors(3.0))["noise_floor"] == "strong"
    assert support(floors(1.1, 4.0))["noise_floor"] == "strong"
    assert "alike" not in statements(floors(1.1, 4.0))["noise_floor"]


def test_limits_that_explanations_repeat_are_those_of_the_diagnostics() -> None:
    assert trouble.SURELY_LIBERAL == heteroskedasticity.FAIL_SIZE
    assert trouble.LIBERAL == heteroskedasticity.WARN_SIZE
    assert trouble.CONSERVATIVE == heteroskedasticity.LOW_SIZE
    assert normalization.DISPERSION_LIMIT == heteroskedasticity.WARN_SHIFT


def test_biology_is_not_put_behind_a_rival_where_the_lean_ends_at_the_floor() -> None:
    shift = Metric("shift_log2", -0.1, -0.11, -0.09, 0.05)
    dispersions = Finding("heteroskedasticity", "?", W, "h", metrics=(shift,))
    found = [*(f for f in audit(up=0.2, above_up=0.55) if f.id != "heteroskedasticity"), dispersions]
    assert support(found)["dispersion_shift"] == "moderate"
    assert "above the floors the calls do not lean that way" in statements(found)["biology"]


def split(up: float, down: float) -> Finding:
    """A split that is what the design gives by itself, give or take a tenth."""
    share = up / (up + down)
    expected = Metric("expected_up_fraction", share, share - 0.1, share + 0.1)
    counts = (Metric("n_up", up), Metric("n_down", down), Metric("up_fraction", share), expected)
    return Finding("sign_asymmetry", "?", P, f"{up} up", metrics=counts)


def test_an_uneven_split_is_explained_though_the_design_gives_it() -> None:
    def with_split(up: float, down: float) -> list[Finding]:
        return [split(up, down), *audit(asymmetry=P)[2:], finding("imbalance", P)]

    assert explain(with_split(56, 44)) == []
    assert explain(with_split(7, 3)) == []  # as coins do
    found = with_split(70, 30)
    assert not surprising(found)
    assert (
        "Not needed: 70 % of the calls are up, and this design gives 70 % (60 % to 80 %)"
        in statements(found)["biology"]
    )
    assert "asks for no cause: 70 up" in statements(found)["imbalance"]
    assert ranked(explain(found)) == []


def test_an_expectation_that_holds_a_dispersion_shift_excludes_nothing() -> None:
    shift = Metric("shift_log2", 0.14, 0.12, 0.16, 0.05)
    found = [split(70, 30), finding("imbalance", P), finding("noise_floor", P, n_de_below=0)]
    found += [Finding("heteroskedasticity", "?", W, "h", metrics=(shift,))]
    assert "Not to be told yet: the 70 % up" in statements(found)["biology"]
    assert "asks for no cause" not in statements(found)["imbalance"]


def test_strata_beyond_what_the_design_gives_are_named() -> None:
    columns = {
        "base_mean_from": (0.0, 10.0, 50.0, None), "base_mean_below": (10.0, 50.0, None, None),
        "n_up": (10, 20, 60, 90), "n_down": (190, 20, 40, 250), "up_share": (0.05, 0.5, 0.6, 0.26),
        "expected_up_share": (0.5, 0.5, 0.5, 0.5),
        "expected_low": (0.4, 0.4, 0.45, 0.45), "expected_high": (0.6, 0.6, 0.55, 0.55),
    }  # fmt: skip
    found = audit(up=0.26, above_up=0.3)
    found[1] = replace(found[1], tables=(Table("strata", "by base mean", columns),))
    said = statements(found)["biology"]
    assert "5 % below 10 (200) where it gives 40 to 60 % and 60 % from 50 (100) where it gives 45 to 55 %" in said
    assert "10 to 50" not in said


def test_half_an_answer_is_an_answer() -> None:
    missing = Finding("influence", "?", Status.NOT_ASSESSABLE, "", reason="n < 3.")
    assert support([*audit(), missing, finding("sample_quality", W)])["one_sample"] == "moderate"
    assert statements([*audit(), missing])["one_sample"].startswith("Not excluded: influence gave no answer (n < 3).")


def test_bad_samples_and_misfit_are_surprises() -> None:
    for name in ("sample_quality", "goodness_of_fit", "null_calibration", "p_value_shape"):
        assert explain([*audit(asymmetry=P), finding(name, W)])
