"""Tables on disk: same table, same bytes; numbers and names come back as they were."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dediag.finding import Table
from dediag.report.table_files import from_bytes, to_bytes


def text_of(**columns):
    return gzip.decompress(to_bytes(Table("t", "", columns))).decode()


def test_words_and_digits() -> None:
    text = text_of(
        a=[0.1 + 0.2, np.nan], b=np.float32([0.1, np.nan]), c=[True, None], d=[1, np.int64(2)], e=["x\ty\nz", ""]
    )
    assert text == "a\tb\tc\td\te\n0.30000000000000004\t0.1\tTRUE\t1\tx y z\nNA\tNA\tNA\t2\t\n"


def test_no_time_stamp_and_no_file_name_inside() -> None:
    data = to_bytes(Table("t", "", {"a": [1]}))
    assert data[4:8] == b"\0\0\0\0"
    assert data[3] == 0
    assert data == to_bytes(Table("other", "", {"a": [1]}))


def test_pandas_and_range_columns() -> None:
    assert text_of(a=pd.Series(["x", "y"]), b=range(2), c=pd.Index([1.5, 2.5])) == "a\tb\tc\nx\t0\t1.5\ny\t1\t2.5\n"


def test_names_that_look_like_numbers_stay_names() -> None:
    table = from_bytes(to_bytes(Table("t", "", {"gene": ["007", "12"], "x": ["1", "NA"], "y": ["1e5", "2"]})), "t", "")
    assert table.columns == {"gene": ("007", "12"), "x": (1, None), "y": ("1e5", "2")}


def test_unequal_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        to_bytes(Table("t", "", {"a": [1, 2], "b": [1]}))


def test_empty_tables() -> None:
    assert from_bytes(to_bytes(Table("t", "c", {"a": [], "b": []})), "t", "c") == Table("t", "c", {"a": (), "b": ()})


cells = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 5).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=3)))
def test_reading_and_writing_again_gives_the_same_bytes(columns) -> None:
    data = to_bytes(Table("t", "", dict(zip("abc", columns, strict=False))))
    assert to_bytes(from_bytes(data, "t", "")) == data


def test_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        to_bytes(Table("t", "", {"a b": [1], "a\tb": [2]}))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_numbers_come_back_exactly(values) -> None:
    assert from_bytes(to_bytes(Table("t", "", {"a": np.array(values)})), "t", "").columns["a"] == tuple(values)
