"""dediag: the audit that a differential-expression result goes through before anybody believes it.

    cohort = dediag.read_cohort("counts.tsv.gz", "samples.tsv")
    fit = dediag.fit(cohort, "~ group", ("group", "case", "control"))
    report = dediag.audit(cohort, "~ group", ("group", "case", "control"))

Nothing heavy is imported until one of the names is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dediag.model.fit import fit
    from dediag.readers import read_cohort
    from dediag.report import render
    from dediag.reporting import audit
    from dediag.simulation import simulate

    __version__: str

__all__ = ["__version__", "audit", "fit", "read_cohort", "render", "simulate"]

_HOMES = {
    "audit": "dediag.reporting",
    "fit": "dediag.model.fit",
    "read_cohort": "dediag.readers",
    "render": "dediag.report",
    "simulate": "dediag.simulation",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name == "__version__":
        value: object = _version()
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'dediag' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})


def _version() -> str:
    """The version of the installed package."""
    from importlib import metadata

    try:
        return metadata.version("dediag")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
