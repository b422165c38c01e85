"""The command line: arguments, files, exit codes, progress; nothing else.

Exit codes: 0 done, 1 a status at or above --fail-on, 2 bad input or usage, 3 a defect of dediag, 130 Ctrl-C.
Heavy libraries are imported by the commands that need them, so that --help is quick.
"""

from __future__ import annotations

# ruff: noqa: T201 - the one module that prints
import contextlib
import io
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dediag.cli import arguments, bar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from dediag.cohort import Cohort
    from dediag.contract import Registered
    from dediag.readers import Source
    from dediag.report import InputFile, Report

DONE, FOUND, BAD_INPUT, DEFECT, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143

MATRICES_OF_AN_AUDIT = 30  # peak memory over that of the counts: all diagnostics, 1,000 to 10,000 genes x 300 samples


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors become at most three lines on stderr, never a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a console without Unicode is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = arguments.parser(COMMANDS).parse_args(words)
        args.words = words
        with _terminable():
            code: int = args.run(args)
            sys.stdout.flush()
    except SystemExit as stop:  # --help, --version, usage, SIGTERM
        code = stop.code if isinstance(stop.code, int) else DONE
        _end_refits(code)
    except KeyboardInterrupt:
        _say("dediag: interrupted")
        _end_refits(INTERRUPTED)
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads our output has seen enough
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        return _failed(error)
    return code


def _end_refits(code: int) -> None:
    """End the process with this exit code where a thread still computes refits; compiling for them cannot be stopped.

    Everything is unwound by now, and what such a thread writes appears whole or not at all.
    """
    aside = sys.modules.get("dediag.resample.aside")  # not imported: no such threads
    if aside and any(thread.name.startswith(aside.THREADS) for thread in threading.enumerate()):
        sys.stdout.flush()
        os._exit(code)


def _failed(error: Exception) -> int:
    """Say what went wrong, and whether it is the user's to mend or ours."""
    from dediag.cohort import InputError

    if isinstance(error, InputError):
        _say(str(error))
        return BAD_INPUT
    if os.environ.get("DEDIAG_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    what = "out of memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}".splitlines()[0]
    _say(f"dediag failed ({what})")
    _say("This is a defect of dediag, not of your data. Please report it with the command, the version,")
    _say("and what DEDIAG_TRACEBACK=1 in the environment adds to this message.")
    return DEFECT


def _fit(args: argparse.Namespace) -> int:
    from dediag.cli import places

    target = None
    if args.output != Path("-"):
        target = places.for_table(args.output, _files(args), overwrite=args.overwrite)
    cohort, _ = _cohort(args)
    _prepare(args)
    from dediag.model.fit import fit

    with bar.shown(_say, quiet=args.quiet) as progress:
        result = fit(
            cohort, args.design, args.contrast, search=args.search, test=args.test, reduced=args.reduced,
            alpha=args.alpha, lfc_threshold=args.lfc_threshold, alternative=args.alternative,
            size_factors=args.size_factors, prior_variance=args.prior_variance, dispersion=args.dispersion,
            recentre=args.recentre, progress=progress,
        )  # fmt: skip
    for notice in result.notices:
        _say(f"note: {notice}")
    if not args.quiet:
        _say(f"{result.contrast.label}\n{result.summary()}")
    if target is None:
        print(result.results.to_csv(sep="\t", na_rep="NA", lineterminator="\n", index_label="gene_id"), end="")
    else:
        places.write_table(result.results, target, "gene_id")
    return DONE


def _audit(args: argparse.Namespace) -> int:
    from dediag.cli import places
    from dediag.report import refuse_occupied

    _known(*(args.only or ()), *args.skip)
    target = refuse_occupied(places.writable(args.output), overwrite=args.overwrite)
    cohort, sources = _cohort(args)
    need, there = MATRICES_OF_AN_AUDIT * cohort.counts.nbytes, _memory()
    if need > there > 0:
        sizes = f"about {need / 2**30:.0f} GiB of memory; this machine has {there / 2**30:.0f}"
        _say(f"note: an audit of these counts takes {sizes} (a fit takes counts of any size)")
    return _concluded(args, _audited(args, cohort, sources, target))


def _memory() -> int:
    """Bytes of memory of this machine, 0 where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _audited(
    args: argparse.Namespace, cohort: Cohort, sources: tuple[InputFile, InputFile], folder: Path
) -> Report:  # fmt: skip
    """Audit a cohort and write the report's folder."""
    _prepare(args)
    from dediag.model import contrasts
    from dediag.model.design import build
    from dediag.report import write
    from dediag.reporting import audit

    asked = contrasts.references(args.contrast, cohort.samples)
    design = build(args.design, cohort.samples, asked)
    for notice in design.notices + contrasts.resolve(args.contrast, design, asked).notices:  # before the long run
        _say(f"note: {notice}")
    with bar.shown(_say, quiet=args.quiet) as progress:
        report = audit(
            cohort, args.design, args.contrast, seed=args.seed, draws=args.draws, draw_size=args.draw_size,
            permutations=args.permutations, bootstraps=args.bootstraps, alpha=args.alpha, all_genes=args.all_genes,
            figures=args.figures,
            size_factors=args.size_factors, only=args.only, skip=args.skip, workers=args.workers,
            scheduler=args.scheduler, cache=args.cache, progress=progress,
            command=shlex.join(["dediag", *args.words]), sources=sources,
        )  # fmt: skip
    write(report, folder, overwrite=args.overwrite)
    return report


def _concluded(args: argparse.Namespace, report: Report) -> int:
    """Say what an audit found and where it lies; the exit code."""
    from dediag.finding import Status

    found = sorted((f for f in report.findings if f.status.severity > 0), key=lambda f: -f.status.severity)
    if not args.quiet:
        assessed = any(f.status.severity >= 0 for f in report.findings)
        overall = f"overall: {report.status}" if assessed else "overall: nothing was assessed"
        _say("\n".join([overall, *(f"{f.status} {f.id}: {f.headline}" for f in found)]))
    print(args.output / "report.html")
    if report.status is Status.ERROR:
        return DEFECT
    limit = None if args.fail_on == "never" else Status(args.fail_on).severity
    return FOUND if limit is not None and report.status.severity >= limit else DONE


def _explain(args: argparse.Namespace) -> int:
    entry = _known(args.id)[args.id]
    print(f"{entry.id}: {entry.question}\n\n{entry.explanation}")
    if entry.references:
        print("\nReferences:", *(f"- {item}" for item in entry.references), sep="\n")
    return DONE


def _list(args: argparse.Namespace) -> int:  # noqa: ARG001 - all commands are called alike
    for entry in _known().values():
        print(f"{entry.id:<20} {entry.question}")
    return DONE


def _render(args: argparse.Namespace) -> int:
    from dediag.report import render

    print(render(args.directory))
    return DONE


def _simulate(args: argparse.Namespace) -> int:
    from dediag.cli import places
    from dediag.simulation import simulate

    target = places.for_folder(args.output, overwrite=args.overwrite)
    cohort, truth = simulate(
        n_genes=args.genes, n_test=args.n_test, n_reference=args.n_reference, seed=args.seed, **dict(args.fault)
    )
    with places.folder_in_one_piece(target) as stage:
        places.write_study(cohort, truth, stage)
    print(args.output)
    return DONE


def _demo(args: argparse.Namespace) -> int:
    from dediag.cli import places
    from dediag.readers import read_with_sources
    from dediag.simulation import demo_study

    _known(*(args.only or ()), *args.skip)
    target = places.for_folder(args.output, overwrite=args.overwrite or _is_demo(args.output))
    args.overwrite = True  # of the stage, which the study's files are in
    with places.folder_in_one_piece(target) as stage:
        places.write_study(*demo_study(), stage)
        cohort, *read = read_with_sources(stage / "counts.tsv.gz", stage / "samples.tsv")
        named = [source._replace(path=str(args.output / Path(source.path).name)) for source in read]
        report = _audited(args, cohort, _input_files(cohort, *named), stage)
    return _concluded(args, report)


def _is_demo(folder: Path) -> bool:
    """Whether `dediag demo` wrote this folder."""
    import json

    try:
        return str(json.loads((folder / "report.json").read_text("utf-8"))["command"]).startswith("dediag demo")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _known(*ids: str) -> Mapping[str, Registered]:
    """The registered diagnostics; InputError when one of these ids is not among them."""
    from dediag.cohort import InputError
    from dediag.contract import registered

    found = registered()
    for ident in ids:
        if ident not in found:
            raise InputError(f"no diagnostic is called '{ident}'; there are: {', '.join(found)}")
    return found


def _cohort(args: argparse.Namespace) -> tuple[Cohort, tuple[InputFile, InputFile]]:
    from dediag.readers import annotated, read_with_sources

    cohort, counts, samples = read_with_sources(
        args.counts, args.samples, transpose=args.transpose, drop_samples=args.drop_samples
    )
    if "AnnData" in counts.format and not args.quiet:
        _say(f"note: {counts.path}: {counts.format}")  # which of its matrices was taken
    cohort, notes = annotated(cohort, args.gene_lengths, args.control_genes, args.spike_ins)
    for note in () if args.quiet else notes:
        _say(f"note: {note}")
    return cohort, _input_files(cohort, counts, samples)


def _files(args: argparse.Namespace) -> list[Path]:
    """What may be files that are read, which no output replaces."""
    from dediag.readers import is_file

    named = (args.counts, args.samples, args.gene_lengths, args.control_genes, args.spike_ins)
    return [Path(name) for name in named if name is not None and is_file(name)]


def _input_files(cohort: Cohort, counts: Source, samples: Source) -> tuple[InputFile, InputFile]:
    from dediag.report import InputFile

    return (
        InputFile(counts.path, counts.sha256, cohort.n_genes, cohort.n_samples, counts.format),
        InputFile(samples.path, samples.sha256, None, cohort.n_samples, samples.format),
    )


def _prepare(args: argparse.Namespace) -> None:
    """Set the number of threads, and say so when the first fit is going to compile."""
    from dediag.model import kernels

    if args.threads:
        kernels.set_threads(args.threads)
    if not args.quiet and not kernels.compiled():
        _say("first use: compiling the numerical code, which takes some seconds and is kept ...")


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that what is half written is removed."""

    def leave(*_: object) -> None:
        raise SystemExit(TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # not in the main thread: somebody else's process
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


COMMANDS = {
    "audit": _audit,
    "fit": _fit,
    "demo": _demo,
    "simulate": _simulate,
    "explain": _explain,
    "list": _list,
    "render": _render,
}
