"""The compiled part of the engine: the only place where numba is imported.

Compiled code is kept on disk. numba's cache does not notice an edited callee in another file, so the folder is keyed
by a hash of every kernel source; NUMBA_CACHE_DIR, when set, names its parent.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from numba import config


def _cache_folder() -> Path:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    key = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    wanted = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    for parent in (wanted, "~/.cache", tempfile.gettempdir()):  # a home may be missing or read-only, as in containers
        try:
            folder = Path(parent).expanduser() / "dediag" / f"kernels-{key}" if parent else None
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):
            continue
        if folder and os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="dediag-"))


CACHE_FOLDER = _cache_folder()
_previous, config.CACHE_DIR = config.CACHE_DIR, str(CACHE_FOLDER)
try:  # a kernel takes its cache folder when it is declared, that is: while these modules are imported
    from dediag.model.kernels.coefficients import fit_coefficients
    from dediag.model.kernels.cooks import draw_cooks
    from dediag.model.kernels.dispersion import fit_dispersions
    from dediag.model.kernels.least_squares import draw_coefficients
    from dediag.model.kernels.medians import draw_medians
    from dediag.model.kernels.moments import draw_moments
    from dediag.model.kernels.optimum import dispersion_profiles, draw_dispersions
    from dediag.model.kernels.threads import each, set_threads
finally:
    config.CACHE_DIR = _previous


def compiled() -> bool:
    """Whether a compiled fit is already on disk; if not, the first fit compiles for some seconds."""
    return any(CACHE_FOLDER.rglob("*.nbc"))


__all__ = [
    "CACHE_FOLDER",
    "compiled",
    "dispersion_profiles",
    "draw_coefficients",
    "draw_cooks",
    "draw_dispersions",
    "draw_medians",
    "draw_moments",
    "each",
    "fit_coefficients",
    "fit_dispersions",
    "set_threads",
]
