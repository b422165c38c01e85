"""Columns of a sample table get the type that a person would give them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dediag.cohort import InputError
from dediag.readers import sample_table, text_table


def typed(folder, content):
    path = folder / "samples.tsv"
    path.write_text(content)
    return sample_table.typed(text_table.read(path))


def test_types(tmp_path):
    table = typed(
        tmp_path,
        "sample\tgroup\tbatch\trin\tbarcode\tdrug\tage\n"
        "1\tcase\t4\t7.5\t007\tNone\t61\nNA\tcontrol\t6\t8\t012\tx\tNA\n3\tNA\t4\t1e1\t1\tNone\t\n",
    )
    assert table.index.tolist() == ["1", "NA", "3"]
    assert table.index.name == "sample"
    assert table["group"].tolist()[:2] == ["case", "control"]
    assert pd.isna(table["group"].iloc[2])
    assert table["batch"].dtype == np.int64
    assert table["rin"].tolist() == [7.5, 8.0, 10.0]
    assert table["barcode"].tolist() == ["007", "012", "1"]  # a leading zero makes a label
    assert table["drug"].tolist() == ["None", "x", "None"]  # a treatment, not a missing value
    assert table["age"].iloc[0] == 61.0
    assert table["age"].isna().tolist() == [False, True, True]


def test_true_and_false_stay_words(tmp_path):
    assert typed(tmp_path, "sample\tsmoker\na\tTRUE\nb\tFALSE\n")["smoker"].tolist() == ["TRUE", "FALSE"]


def test_unnamed_empty_columns_at_the_end_are_left_out(tmp_path):
    assert typed(tmp_path, "sample,group,,\na,x,,\nb,y,,\n,,,\n").columns.tolist() == ["group"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sample\tgroup\na\tx\na\ty\n", "sample stands there more than once: a"),
        ("sample\tgroup\tgroup\na\tx\ty\n", "column stands there more than once: group"),
        ("sample\tgroup\n\tx\nb\ty\n", "row 1 .* no sample name"),
        ("sample\tgroup\t\na\tx\t1\n", "column 3 has no name"),
        ("sample;rin\na;7,5\nb;8,25\n", "decimal comma .7,5."),
        ("sample\t\na\t\nb\t\n", "one column"),
    ],
)
def test_refused(tmp_path, content, said):
    with pytest.raises(InputError, match=said) as raised:
        typed(tmp_path, content)
    assert len(str(raised.value).splitlines()) <= 3
    assert "samples.tsv" in str(raised.value)
