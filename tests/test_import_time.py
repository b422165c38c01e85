"""`import dediag` and `dediag --help` are quick: heavy libraries are loaded by the commands that need them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"numba", "pandas", "scipy", "statsmodels", "matplotlib", "numpy", "rich", "jinja2", "formulaic"}

USES = {
    "import": "import dediag",
    "help": "from dediag.cli import main; assert main(['--help']) == 0",
    "help of a command": "from dediag.cli import main; assert main(['audit', '--help']) == 0",
    "version": "import dediag; from dediag.cli import main; assert main(['--version']) == 0; dediag.__version__",
    "usage error": "from dediag.cli import main; assert main(['audit']) == 2",
}


@pytest.mark.parametrize("code", USES.values(), ids=USES)
def test_nothing_heavy_is_imported(code, checkout):
    listing = f"import sys; {code}; print('LOADED', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, timeout=120, cwd=checkout, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.rpartition("LOADED")[2].split()}
    assert loaded & HEAVY == set()


def test_public_names_are_there():
    import dediag

    assert set(dediag.__all__) <= set(dir(dediag))
    assert {name for name in dediag.__all__ if callable(getattr(dediag, name))} == {
        "audit", "fit", "read_cohort", "render", "simulate"
    }  # fmt: skip
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = dediag.nothing
