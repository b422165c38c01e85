"""Imports go one way. The arrows below are the architecture; every import in the package is read and compared.

All imports of dediag count, wherever they stand: at the top, inside a function, for type checking only (a type is
knowledge too), or by `importlib.import_module` with a written-out name. What an arrow reaches may also be imported
directly (`cli -> reporting -> auditing` lets cli import auditing).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "dediag"
LONGEST_FILE = 350  # lines
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "base", "misc"}

# part of the package -> the parts it may import; leaves import none
ARROWS: dict[str, set[str]] = {
    "cohort": set(),
    "finding": set(),
    "progress": set(),
    "rounding": set(),
    "settings": set(),
    "stats": set(),
    "readers": {"cohort", "progress"},
    "simulation": {"stats", "cohort"},
    "model": {"stats", "cohort", "progress"},
    "resample": {"model", "simulation"},
    "study": {"resample", "settings"},
    "contract": {"study", "finding"},
    "drawing": {"finding"},
    "synthesis": {"finding", "rounding"},
    "diagnostics": {"contract", "drawing", "rounding"},
    "auditing": {"diagnostics"},
    "report": {"synthesis", "cohort", "rounding"},  # cohort: InputError
    "reporting": {"auditing", "synthesis", "report"},
    "lessons": {"reporting"},
    "cli": {"lessons", "__init__"},
    "__init__": {"reporting", "readers"},  # the public names
    "__main__": {"cli"},
}

# imports against the arrows, each with its reason; (importer, imported module)
EXCEPTIONS = {
    (
        "cohort",
        "dediag.readers.validation",
    ): "Cohort.from_frames is the checked constructor; the checks live with the readers",
    ("contract", "dediag.diagnostics"): "registered() lists the folder; it knows no diagnostic by name",
}

# third-party library -> the only modules that may import it when they run; its types may be named anywhere
ONLY_IN = {
    "numba": "dediag.model.kernels",
    "matplotlib": "dediag.drawing",
    "rich": "dediag.cli",
    "jinja2": "dediag.report",
    "joblib": "dediag.resample.workers",
    "distributed": "dediag.resample.cluster",
}


@dataclass(frozen=True)
class Import:
    """One import: where it stands and what it names."""

    module: str  # the importer, dotted
    line: int
    target: str  # the imported module, dotted
    typing: bool  # for type checking only

    @property
    def part(self) -> str:
        return part_of(self.module)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


def part_of(module: str) -> str:
    """The first name below dediag; `__init__` for the package itself."""
    return module.split(".")[1] if "." in module else "__init__"


def read_imports(module: str, source: str, modules: frozenset[str]) -> list[Import]:
    """Every import of a module; `from dediag.x import y` names dediag.x.y where that is a module, else dediag.x."""
    tree = ast.parse(source)
    guarded = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    typing = {id(inner) for guard in guarded for child in guard.body for inner in ast.walk(child)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if name in modules else str(node.module) for name in full]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            named = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            targets = [name for name in named if not name.startswith(".")]
        else:
            continue
        found += [Import(module, node.lineno, target, id(node) in typing) for target in targets]
    return found


def reach(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """Each part with everything that its arrows lead to."""

    def below(part: str) -> set[str]:
        return arrows[part].union(*(below(other) for other in arrows[part]))

    return {part: below(part) for part in arrows}


def breaches(imports: list[Import]) -> list[str]:
    """Imports of dediag that no arrow allows."""
    allowed = reach(ARROWS)
    wrong = []
    for found in imports:
        if found.target.split(".")[0] != "dediag" or (found.part, found.target) in EXCEPTIONS:
            continue
        target = part_of(found.target)
        inside = target == found.part and found.part not in ("stats", "diagnostics")
        siblings = found.part == "stats" and target == "stats"  # mathematics may build on mathematics
        if not (inside or siblings or target in allowed[found.part]):
            wrong.append(str(found))
    return wrong


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = frozenset(module_name(path) for path in FILES)
IMPORTS = [i for path in FILES for i in read_imports(module_name(path), path.read_text("utf-8"), MODULES)]


def test_every_part_of_the_package_is_in_the_table():
    assert {part_of(m) for m in MODULES} <= ARROWS.keys()


def test_imports_follow_the_arrows():
    assert breaches(IMPORTS) == []


def test_diagnostics_do_not_import_one_another():
    assert [str(i) for i in IMPORTS if i.part == "diagnostics" and part_of(i.target) == "diagnostics"] == []


def test_report_sees_no_study_and_no_model():
    assert reach(ARROWS)["report"] == {"finding", "synthesis", "cohort", "rounding"}


def test_stats_and_model_see_no_figure_and_no_verdict():
    for part in ("stats", "model"):
        assert not reach(ARROWS)[part] & {"finding", "drawing", "contract", "report"}


@pytest.mark.parametrize(("library", "home"), ONLY_IN.items())
def test_library_is_imported_in_one_place(library, home):
    running = [i for i in IMPORTS if i.target.split(".")[0] == library and not i.typing]
    assert [str(i) for i in running if not f"{i.module}.".startswith(f"{home}.")] == []


def test_print_only_in_cli():
    for path in FILES:
        if part_of(module_name(path)) != "cli":
            calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
            lines = [n.lineno for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]
            assert lines == [], path


def test_file_names_say_something():
    assert [str(p) for p in FILES if p.stem in NAMES_THAT_SAY_NOTHING] == []


def test_no_module_has_the_name_of_a_public_function():
    assert not {"read_cohort", "fit", "audit", "simulate", "render"} & {part_of(m) for m in MODULES}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_file_is_one_idea(path):
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dediag.stats.x", "from dediag.cohort import Cohort"),
        ("dediag.model.fit", "def f():\n    from dediag import drawing"),
        ("dediag.report.html", "if TYPE_CHECKING:\n    from dediag.study import Study"),
        ("dediag.diagnostics.a", "from dediag.diagnostics import b"),
        ("dediag.finding", "import dediag.study"),
        ("dediag.study", "import importlib\nimportlib.import_module('dediag.auditing')"),
        ("dediag.model.fit", "import dediag"),
    ],
)
def test_a_breach_is_seen(module, source):
    modules = MODULES | {"dediag.drawing", "dediag.diagnostics.b", "dediag.study", "dediag.auditing"}
    assert len(breaches(read_imports(module, source, modules))) == 1
