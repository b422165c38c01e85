"""Three definitions of the fold change on a gene worked by hand, and their tables."""

import numpy as np
import pytest

from dediag.stats.fold_changes import FoldChanges, log_ratio

VALUES = np.array([[1.0, 3.0, 7.0, 15.0], [0.0, 0.0, 1.0, 1.0]])
FIRST = np.array([False, False, True, True])


def test_by_hand() -> None:
    logs = np.log2(VALUES + 1)  # 1, 2, 3, 4
    fold = FoldChanges.of(VALUES, logs, logs, FIRST, ~FIRST)
    assert fold.difference[0] == 2.0
    assert fold.ratio[0] == pytest.approx(np.log2(11 / 2))
    assert fold.mistake[0] == pytest.approx(np.log2(3.5 / 1.5))
    assert fold.difference[1] == 1.0
    assert np.isnan([fold.ratio[1], fold.mistake[1]]).all()  # nothing in the second group


def test_ratios_of_nothing() -> None:
    assert log_ratio(np.array([4.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0])) == pytest.approx(
        [2.0, np.nan, np.nan], nan_ok=True
    )


def test_tables_count_every_gene_in_use() -> None:
    rng = np.random.default_rng(1)
    a, b, c, lfc = rng.normal(size=(4, 50))
    fold, use = FoldChanges(a, b, c), np.arange(50) < 40
    table = fold.differences(lfc, use)
    assert [sum(table[name]) for name in fold.named] == [40, 40, 40]
    assert len(table["from_to"]) == len(table["difference of mean logs"])
    against = fold.against(lfc, use)
    assert against["definition"] == list(fold.named)
    assert against["pairs"] == [40, 40, 40]
    assert against["bias"][0] == pytest.approx((a - lfc)[use].mean())
