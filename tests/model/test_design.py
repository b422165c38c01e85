"""Designs: factors, covariates, interactions, cells; and everything that only the user can mend."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dediag.cohort import InputError
from dediag.model.contrasts import references, resolve
from dediag.model.design import Design, build, unknown_level


def samples(**columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.Index([f"s{j}" for j in range(n)], name="sample"))


TABLE = samples(
    group=["case", "case", "case", "case", "control", "control", "control", "control"],
    batch=[4, 4, 6, 6, 4, 4, 6, 6],
    site=["x", "y", "x", "y", "x", "y", "x", "y"],
    rin=[7.1, 6.5, 8.0, 5.9, 7.7, 6.1, 7.0, 6.6],
)


def made(
    formula: str, contrast: object = ("group", "case", "control"), table: pd.DataFrame = TABLE
) -> tuple[Design, object]:
    asked = references(contrast, table)  # type: ignore[arg-type]
    design = build(formula, table, asked)
    return design, resolve(contrast, design, asked)  # type: ignore[arg-type]


def test_two_groups() -> None:
    design, contrast = made("~ group")
    assert design.names == ("Intercept", "group[T.case]")
    assert design.factors == {"group": ("control", "case")}
    np.testing.assert_array_equal(contrast.vector, [0.0, 1.0])
    assert design.saturated
    assert design.single_two_level_factor
    assert (contrast.factor, contrast.test, contrast.reference) == ("group", "case", "control")


def test_the_contrast_sets_the_reference_level() -> None:
    design, contrast = made("~ group", ("group", "control", "case"))
    assert design.factors["group"] == ("case", "control")
    assert contrast.label == "group control vs case"


def test_two_strings_take_the_other_level() -> None:
    assert references(("group", "case"), TABLE) == {"group": "control"}


def test_covariates_and_whole_numbers() -> None:
    design, _ = made("~ batch + rin + group")
    assert design.names == ("Intercept", "batch", "rin", "group[T.case]")
    assert len(design.notices) == 1
    assert "C(batch)" in design.notices[0]
    assert "4, 6" in design.notices[0]
    labelled, _ = made("~ C(batch) + rin + group")
    assert labelled.names == ("Intercept", "C(batch)[T.6]", "rin", "group[T.case]")
    assert labelled.notices == ()


def test_a_numeric_column_can_be_contrasted_as_a_factor() -> None:
    design, contrast = made("~ group + batch", ("batch", "6", "4"))
    assert design.factors["batch"] == ("4", "6")
    assert contrast.vector[design.names.index("batch[T.6]")] == 1.0


def test_interactions() -> None:
    design, contrast = made("~ site * group")
    assert design.names == ("Intercept", "site[T.y]", "group[T.case]", "site[T.y]:group[T.case]")
    assert design.interactions == {"site", "group"}
    assert design.saturated
    assert contrast.vector.tolist() == [0.0, 0.0, 1.0, 0.0]
    _, by_name = made("~ site * group", "site[T.y]:group[T.control]")
    assert by_name.vector.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert by_name.factor is None


def test_a_colon_in_a_level_is_no_interaction() -> None:
    table = TABLE.assign(group=["dose:high"] * 4 + ["dose:none"] * 4)
    design, contrast = made("~ group", ("group", "dose:high", "dose:none"), table)
    assert design.interactions == frozenset()
    assert contrast.vector.tolist() == [0.0, 1.0]


def test_without_intercept() -> None:
    _, contrast = made("~ 0 + group")
    assert sorted(contrast.vector.tolist()) == [-1.0, 1.0]


def test_three_levels_against_one_that_is_not_coded_away() -> None:
    table = samples(group=["a", "a", "b", "b", "c", "c"])
    design, contrast = made("~ group", ("group", "c", "b"), table)
    assert design.factors["group"] == ("b", "a", "c")
    assert contrast.vector.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("contrast", "chosen"),
    [
        (("group", "c"), "'a' was chosen of a, b"),
        (("group", "a"), "'b' was chosen of b, c"),
        (("group", "c", "a"), None),
    ],
)
def test_a_reference_level_that_nobody_named_gets_a_notice(contrast: tuple[str, ...], chosen: str | None) -> None:
    _, resolved = made("~ group", contrast, samples(group=["a", "a", "b", "b", "c", "c"]))
    assert len(resolved.notices) == (chosen is not None)
    if chosen is not None:
        assert chosen in resolved.notices[0]
        assert f"name it: group {contrast[1]} {resolved.reference}" in resolved.notices[0]


def test_of_two_levels_the_other_one_needs_no_notice() -> None:
    assert made("~ group", ("group", "case"))[1].notices == ()


def test_cells_rebuild_the_matrix() -> None:
    design, _ = made("~ C(batch) + group")
    np.testing.assert_array_equal(design.cells[design.cell], design.matrix)
    assert design.replicates().tolist() == [2] * 8
    assert not design.saturated


def test_take_keeps_the_meaning() -> None:
    design, _ = made("~ group")
    part = design.take([0, 1, 4, 5])
    np.testing.assert_array_equal(part.matrix, design.matrix[[0, 1, 4, 5]])
    with pytest.raises(InputError, match="zero for every sample"):
        design.take([4, 5, 6])


@pytest.mark.parametrize(
    ("formula", "contrast", "words"),
    [
        ("~ grp", ("group", "case"), ["'grp'", "group, batch, site, rin"]),
        ("~ group +", ("group", "case"), ["cannot be read"]),
        ("y ~ group", ("group", "case"), ["before '~'"]),
        ("~ group", ("group", "cases"), ["'cases'", "case, control"]),
        ("~ group", ("group", "case", "none"), ["'none'", "case, control"]),
        ("~ group", ("treatment", "case"), ["'treatment'", "group, batch, site, rin"]),
        ("~ site", ("group", "case"), ["'group'", "not part of the design"]),
        ("~ group", ("group", "case", "case"), ["both 'case'"]),
        ("~ group", "groupcase", ["group[T.control]"]),
        ("~ group + copy", ("group", "case"), ["copy[T.b]", "group[T.case]", "combination"]),
        ("~ site * group * C(batch)", ("group", "case"), ["8 samples for 8 coefficients"]),
        ("~ group + np.log(rin - 10)", ("group", "case"), ["rin"]),
    ],
)
def test_what_the_user_must_mend_is_named(formula: str, contrast: object, words: list[str]) -> None:
    table = TABLE.assign(copy=["b"] * 4 + ["a"] * 4)
    with pytest.raises(InputError) as error, np.errstate(invalid="ignore"):
        made(formula, contrast, table)
    for word in words:
        assert word.replace("group, batch, site, rin", "group, batch, site, rin, copy") in str(error.value)
    assert str(error.value).count("\n") <= 2


def test_a_missing_covariate_names_sample_and_column() -> None:
    table = TABLE.assign(rin=[7.1, np.nan, 8.0, 5.9, 7.7, 6.1, 7.0, 6.6])
    with pytest.raises(InputError, match="'rin' has no value for sample 's1'"):
        made("~ rin + group", table=table)
    made("~ group", table=table)  # a column that the design does not use may have gaps


def test_a_level_that_is_nearly_one_is_asked_for():
    assert "did you mean 'covid'?" in str(unknown_level("group", "covdi", ["healthy", "covid"]))
    assert "did you mean 'Covid'?" in str(unknown_level("group", "COVID", ["healthy", "Covid"]))
    assert "did you mean" not in str(unknown_level("group", "sepsis", ["healthy", "covid"]))
