"""Finished blocks of refits on disk: a killed audit goes on where it was, a repeated one is quick.

One file a block, named by a hash of everything that it depends on: the whole main fit (counts, design, contrast,
options, estimates), the size factors, the block's part of the plan, the sources of the engine, the versions of the
numerical libraries and what the processor can do. Files are arrays and text, nothing that is run when it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import secrets
import time
import zipfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from dediag.cohort import BLOCK, let_go
from dediag.resample.refit import Block

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dediag.model.nbfit import NBFit
    from dediag.resample.plans import Plan
    from dediag.resample.workers import Part

BYTES = 2_000_000_000  # that the folder may take; blocks unused for longest go first
STALE = 3600.0  # seconds after which a half-written file belongs to a process that was killed
PER_REFIT = ("rows", "test")  # what a plan says of each refit by itself, in order
LIBRARIES = ("numpy", "scipy", "numba", "llvmlite")
SUMMARIES = ("included", "size_factors", "called_up", "called_down", "n_tested", "n_small")


def _sources() -> str:
    """A hash of the engine's sources and tables, and the versions of the libraries that compute for it."""
    package = Path(__file__).parents[1]
    folders = ("model", "resample", "stats")
    files = [package / "cohort.py", *(p for name in folders for p in (package / name).rglob("*") if p.is_file())]
    digest = hashlib.sha256()
    for path in sorted(path for path in files if "__pycache__" not in path.parts):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    digest.update(" ".join(metadata.version(library) for library in LIBRARIES).encode())
    return digest.hexdigest()


CODE = _sources()  # when this module is imported, as the others are: sources edited later are not what runs


def _processor() -> str:
    """What the processor can do, which decides last digits."""
    found = np.show_config(mode="dicts")
    return f"{platform.machine()} {found.get('SIMD Extensions') if found else ''}"


class Cache:
    """Blocks in a folder. Whatever goes wrong with a file, the block counts as not there."""

    def __init__(self, folder: Path, limit: int = BYTES) -> None:
        """Keep at most `limit` bytes in this folder, which exists."""
        self.folder, self.limit = folder, limit
        self._fits: WeakKeyDictionary[NBFit, str] = WeakKeyDictionary()  # a fit is hashed once: it cannot change

    @classmethod
    def of_user(cls) -> Cache | None:
        """The cache in the user's own folder; None where there is none that may be written."""
        folder = _user_folder()
        return None if folder is None else cls(folder)

    def path(self, plan: Plan, fit: NBFit, size_factors: str | ArrayLike, part: Part) -> Path:
        """Where a block lies once it is there."""
        if fit not in self._fits:
            self._fits[fit] = fingerprint((CODE, _processor(), fit))
        factors = size_factors if isinstance(size_factors, str) else np.asarray(size_factors, np.float64)
        key = fingerprint((self._fits[fit], factors, repr(_own(plan, part))))
        return self.folder / f"{key[:32]}.npz"

    def load(self, plan: Plan, fit: NBFit, size_factors: str | ArrayLike, part: Part) -> Block | None:
        """A block that was stored, if it is there and whole."""
        path = self.path(plan, fit, size_factors, part)
        try:
            content = path.read_bytes()
            os.utime(path)  # used just now
        except OSError:
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
                failed = json.loads(arrays.pop("failed").tobytes())
            kept = {name: arrays.pop(name) for name in part.keeps(plan)}
            block = Block(part.first, **arrays, kept=kept, failed=tuple((part.first + k, why) for k, why in failed))
        except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile):  # torn or tampered with
            return None
        return block if _whole(block, fit, part) else None

    def store(self, block: Block, plan: Plan, fit: NBFit, size_factors: str | ArrayLike, part: Part) -> None:
        """Keep a block; where that cannot be, go on without."""
        failed = json.dumps([(k - part.first, why) for k, why in block.failed]).encode()
        arrays: dict[str, Any] = {name: getattr(block, name) for name in SUMMARIES}
        arrays |= {str(name): values for name, values in block.kept.items()}
        content = io.BytesIO()
        np.savez(content, failed=np.frombuffer(failed, np.uint8), **arrays)
        target = self.path(plan, fit, size_factors, part)
        partial = target.with_name(f".{target.stem}.partial-{secrets.token_hex(4)}")
        try:
            partial.write_bytes(content.getbuffer())
            partial.replace(target)
            self._make_room()
        except OSError:  # a full disk, a folder that is gone
            pass
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Remove the blocks unused for longest while there is too much, and what killed processes left half-written."""
        entries = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another audit makes room too
                found = path.stat()
                if path.suffix == ".npz":
                    entries.append((found.st_mtime_ns, found.st_size, path))
                elif ".partial-" in path.name and time.time() - found.st_mtime > STALE:
                    path.unlink()
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                break
            path.unlink(missing_ok=True)
            total -= size


def _user_folder() -> Path | None:
    """DEDIAG_CACHE_DIR, else beside the compiled kernels; None where that cannot be written.

    Not in the machine's folder for temporary files: others may write there, and numbers would be taken from them.
    """
    named = (os.environ.get(name) for name in ("DEDIAG_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"))
    parent = next(filter(None, named), "~/.cache")
    try:
        folder = Path(parent).expanduser() / "dediag" / "refits"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or no home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _own(plan: Plan, part: Part) -> tuple[Plan, int, int]:
    """What a block depends on: its own refits of the plan, not how many more there are nor how they are announced."""
    changes: dict[str, Any] = {"keep": part.keeps(plan), "what": ""}
    for field in fields(plan):
        if field.name in PER_REFIT:
            changes[field.name] = getattr(plan, field.name)[part.first : part.last]
        elif field.name == "replicates":
            changes[field.name] = 0
    return replace(plan, **changes), part.first, part.last


def _whole(block: Block, fit: NBFit, part: Part) -> bool:
    """Whether the arrays of a block have the shapes and types that they should have."""
    n, n_genes, n_samples = part.last - part.first, fit.cohort.n_genes, fit.cohort.n_samples
    packed = (n, -(-n_genes // 8))
    expected: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "included": ((n, n_samples), np.bool_),
        "size_factors": ((n, n_samples), np.float64),
        "called_up": (packed, np.uint8),
        "called_down": (packed, np.uint8),
        "n_tested": ((n,), np.int64),
        "n_small": ((n,), np.int64),
    }
    right = (getattr(block, k).shape == shape and getattr(block, k).dtype == t for k, (shape, t) in expected.items())
    return all(right) and all(v.shape == (n, n_genes) and v.dtype == np.float32 for v in block.kept.values())


def fingerprint(value: object) -> str:
    """A hash of the content of arrays, tables, text, numbers, and dataclasses and collections of them.

    Raises TypeError for anything else, so that nothing is left out of a key unnoticed.
    """
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, value: object) -> None:
    import pandas as pd

    if value is None or isinstance(value, (str, bool, int, float, np.generic)):
        text = repr(value).encode()
        digest.update(f"{type(value).__name__} {len(text)} ".encode() + text)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"array {value.dtype.str} {value.shape} ".encode())
        content = np.ascontiguousarray(value).reshape(-1)
        for first in range(0, content.size, BLOCK):
            digest.update(content[first : first + BLOCK].view(np.uint8).data)
            let_go(content)
    elif isinstance(value, np.ndarray):
        _feed(digest, ("objects", value.shape, *value.ravel().tolist()))
    elif isinstance(value, pd.DataFrame):
        columns = [(str(name), str(value[name].dtype), *map(str, value[name])) for name in value.columns]
        _feed(digest, ("table", value.index, *columns))
    elif isinstance(value, pd.Index):
        text = json.dumps([str(label) for label in value]).encode()  # thousands of gene names at once
        digest.update(f"index {len(text)} ".encode() + text)
    elif is_dataclass(value) and not isinstance(value, type):
        _feed(digest, (type(value).__name__, *((field.name, getattr(value, field.name)) for field in fields(value))))
    elif isinstance(value, Mapping):
        _feed(digest, ("mapping", *value.items()))
    elif isinstance(value, frozenset):
        _feed(digest, ("set", *sorted(value)))
    elif isinstance(value, (tuple, list)):
        digest.update(f"{len(value)} of ".encode())
        for each in value:
            _feed(digest, each)
    else:
        raise TypeError(f"no rule for the content of {type(value).__name__}")
