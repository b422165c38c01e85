"""What all tests share: thread limits, the hypothesis profiles, and where the real data is."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# compiled code and shared machines make single examples slow without anything being wrong, hence no deadline
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session", autouse=True)
def refits_of_the_tests(tmp_path_factory):
    """A cache of refits that begins empty and is nobody else's, for the tests and what they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEDIAG_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder of pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that holds data/ and reference/; the test is skipped where DEDIAG_DATA does not name one."""
    named = os.environ.get("DEDIAG_DATA")
    if not named or not (Path(named) / "data").is_dir():
        pytest.skip("real data: DEDIAG_DATA does not name a folder that holds data/ and reference/")
    return Path(named)
