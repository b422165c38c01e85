"""The arguments of every command. What the engine can refuse better, with the data at hand, is left to it."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Commands = Mapping[str, Callable[[argparse.Namespace], int]]

SEARCHES = ("reference", "newton")
TESTS = ("wald", "lrt")
DISPERSIONS = ("shared", "group")
SIZE_FACTORS = ("ratio", "poscounts", "TMM", "TMMwsp", "RLE", "upperquartile")
ALTERNATIVES = ("greaterAbs", "lessAbs", "greater", "less")
ABOUT = "The audit that a differential-expression result goes through before anybody publishes, teaches or believes it."
EXIT_CODES = (
    "exit codes: 0 done, 1 a status at or above --fail-on, 2 bad input or usage, 3 a defect of dediag, 130 interrupted"
)


class Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class Contrast(argparse.Action):
    """FACTOR TEST [REFERENCE]; refuses the files that a shell line with --contrast before them would add."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store two or three words."""
        words = list(values or ())
        if not 2 <= len(words) <= 3:
            hint = "; give COUNTS and SAMPLES before it" if len(words) > 3 else ""
            parser.error(f"{option_string} takes FACTOR TEST [REFERENCE], not {len(words)} words{hint}")
        setattr(namespace, self.dest, tuple(words))


class Version(argparse.Action):
    """Prints the version and leaves."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Exit with code 0."""
        from dediag import __version__

        sys.stdout.write(f"dediag {__version__}\n")
        parser.exit(0)


def parser(commands: Commands) -> Parser:
    """The parser of the whole command line; `commands` maps each name to what runs it (stored as `run`)."""
    top = Parser(prog="dediag", description=ABOUT, epilog=EXIT_CODES, allow_abbrev=False)
    top.add_argument("--version", action=Version, nargs=0, help="show the version and leave")
    group = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def add(name: str, text: str) -> Parser:
        command: Parser = group.add_parser(name, help=text, description=text, epilog=EXIT_CODES, allow_abbrev=False)
        command.set_defaults(run=commands[name])
        return command

    _audit(add("audit", "Fit a study and put every diagnostic's question to it; writes a report folder."))
    _fit(add("fit", "Fit a negative binomial GLM to every gene and write DESeq2's table."))
    _demo(add("demo", "Audit the embedded study: 12,029 genes, 71 cases and 29 controls, simulated."))
    _simulate(add("simulate", "Draw a study whose truth is known, with any fault; writes counts, samples and truth."))
    explain = add("explain", "Say what a diagnostic measures, how to read it, and what it does not show.")
    explain.add_argument("id", metavar="ID", help="one of those that `dediag list` names")
    add("list", "Name every diagnostic with its question.")
    render = add("render", "Make the pages of a report folder anew, without fitting anything.")
    render.add_argument("directory", metavar="DIR", type=Path, help="a folder that `dediag audit` wrote")
    return top


def _inputs(command: Parser) -> None:
    add = command.add_argument
    add(
        "counts",
        metavar="COUNTS",
        type=Path,
        help="raw counts, genes x samples, gene ids first (TSV, CSV, .gz); or .h5ad, .zarr, .npy",
    )
    add(
        "samples",
        metavar="SAMPLES",
        type=Path,
        help="sample table, sample names first, matched with COUNTS by name; or the same .h5ad or .zarr again",
    )
    add("--design", required=True, metavar="FORMULA", help='for example "~ batch + group"')
    add("--transpose", action="store_true", help="the matrix is samples x genes")
    add("--drop-samples", type=_names, metavar="IDS", help="'unmatched' (in one file only), or names, comma-separated")
    add("--size-factors", choices=SIZE_FACTORS, default="ratio", metavar="METHOD", help=f"{', '.join(SIZE_FACTORS)}")
    add("--alpha", type=_number, default=0.1, metavar="X", help="adjusted p below which a gene is called (0.1)")
    add("--gene-lengths", metavar="FILE", help="table of gene id and length (base pairs), or of lengths by sample")
    add("--control-genes", metavar="FILE_OR_IDS", help="genes that size factors are estimated from")
    add(
        "--spike-ins", metavar="IDS_OR_PREFIX_OR_FILE",
        help="such as ERCC-; a file may have the known fold changes in a column log2_fold_change",
    )  # fmt: skip


def _running(command: Parser) -> None:
    command.add_argument("--threads", type=_whole(1), metavar="N", help="as many as there are cores by default")
    command.add_argument("--quiet", action="store_true", help="no progress and no summary, for pipelines")


def _fit(command: Parser) -> None:
    _inputs(command)
    add = command.add_argument
    add(
        "--contrast",
        nargs="+",
        action=Contrast,
        metavar="WORD",
        help="FACTOR TEST [REFERENCE]; else the last coefficient",
    )
    add(
        "-o",
        "--output",
        type=Path,
        default=Path("-"),
        metavar="FILE",
        help=".tsv or .csv, also .gz; else to stdout",
    )
    add("--overwrite", action="store_true", help="replace a file that is not empty")
    add("--search", choices=SEARCHES, default="reference", help="DESeq2's line search, or the exact optimum, faster")
    add("--test", choices=TESTS, default="wald", help="Wald, or likelihood ratio against --reduced")
    add("--reduced", metavar="FORMULA", help="the design without the tested terms, for --test lrt")
    add(
        "--lfc-threshold",
        type=_number,
        default=0.0,
        metavar="X",
        help="test against this log2 fold change, not 0",
    )
    add("--alternative", choices=ALTERNATIVES, default="greaterAbs", metavar="SIDE", help=f"{', '.join(ALTERNATIVES)}")
    add("--prior-variance", type=_number, metavar="X", help="of the log dispersions; estimated by default")
    add("--dispersion", choices=DISPERSIONS, default="shared", help="one per gene, or one per gene and group (t-tests)")
    add("--recentre", action="store_true", help="size factors under which the median fold change is zero")
    _running(command)


def _audit(command: Parser) -> None:
    _inputs(command)
    add = command.add_argument
    add("--contrast", nargs="+", action=Contrast, required=True, metavar="WORD", help="FACTOR TEST [REFERENCE]")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder of the report")
    add(
        "--draw-size",
        type=_whole(2),
        metavar="N",
        help="samples per group in a balanced draw (the smaller group's)",
    )
    _amount(command)


def _demo(command: Parser) -> None:
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("dediag-demo"),
        metavar="DIR",
        help="dediag-demo; replaced if there",
    )
    command.set_defaults(design="~ group", contrast=("group", "case", "control"), size_factors="ratio", alpha=0.1)
    command.set_defaults(draw_size=None)
    _amount(command)


def _amount(command: Parser) -> None:
    """How much an audit computes, of what, and how it ends."""
    add = command.add_argument
    add("--seed", type=_whole(0), default=1, metavar="N", help="the same seed gives the same report (1)")
    add(
        "--draws", type=_whole(1), default=100, metavar="N", help="balanced draws, and half as many control draws (100)"
    )
    add(
        "--permutations",
        type=_whole(1),
        default=100,
        metavar="N",
        help="label permutations, and half as many mock splits (100)",
    )
    add("--bootstraps", type=_whole(1), default=50, metavar="N", help="simulated cohorts (50)")
    add("--only", type=_names, metavar="IDS", help="these diagnostics only, comma-separated")
    add("--skip", type=_names, default=(), metavar="IDS", help="all diagnostics but these")
    add("--no-figures", dest="figures", action="store_false", help="numbers, tables and words alone, which is quicker")
    add("--all-genes", action="store_true", help="glm_agreement: every gene instead of a stratified sample")
    add("--overwrite", action="store_true", help="replace the report in a folder that is not empty")
    add("--fail-on", choices=("warn", "fail", "never"), default="never", help="exit 1 at this status or worse (never)")
    add("--workers", type=_whole(1), metavar="N", help="refit in N processes, one thread each, instead of this one")
    add("--scheduler", metavar="ADDRESS", help="refit on the workers of a dask scheduler, such as tcp://host:8786")
    add("--no-cache", dest="cache", action="store_false", help="neither keep finished refits nor use those kept before")
    _running(command)


def _simulate(command: Parser) -> None:
    add = command.add_argument
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder of the three files")
    add("--genes", type=_whole(1), default=2000, metavar="N", help="2000")
    add("--n-test", type=_whole(1), default=10, metavar="N", help="samples of group case (10)")
    add("--n-reference", type=_whole(1), default=10, metavar="N", help="samples of group control (10)")
    add(
        "--fault", type=_fault, nargs="+", action="extend", default=[], metavar="NAME=STRENGTH",
        help="for example group_dispersion_ratio=4; an unknown name lists them all",
    )  # fmt: skip
    add("--seed", type=_whole(0), default=0, metavar="N", help="0")
    add("--overwrite", action="store_true", help="replace the files in a folder that is not empty")


def _whole(smallest: int) -> Callable[[str], int]:
    """The type of whole numbers from `smallest` on."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = smallest - 1
        if value < smallest:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least {smallest}")
        return value

    return parse


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number")
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("no name is given")
    return names


def _fault(text: str) -> tuple[str, float]:
    name, equals, strength = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=STRENGTH")
    return name.strip(), _number(strength)
