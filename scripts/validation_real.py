"""Write reports/validation_real.md and .json: what full audits say of five real studies and of the demo's.

usage: python scripts/validation_real.py [--draws N] [--data NAME ...] [--out DIR]

For each study: group sizes, calls, every diagnostic's status and headline, the calls by direction and expression, and
the candidate explanations. The words are those of the report. Of pickrell2010_sex, where genes are known that must
differ, also what becomes of these and of the other calls. The real studies are read from the folder that the
environment variable DEDIAG_DATA names. The page is written after each study; those of an earlier run that are not
named stay on it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import dediag
from dediag import auditing, reporting
from dediag.diagnostics import noise_floor
from dediag.report import digest
from dediag.report.plain import plain
from dediag.resample.workers import execution
from dediag.rounding import counted, listed, span
from dediag.settings import AuditSettings
from dediag.simulation import demo_study

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dediag.cohort import Cohort
    from dediag.finding import Finding, Table
    from dediag.report import Report
    from dediag.study import Study

    Mask = NDArray[np.bool_]

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Question:
    """How a study is analysed."""

    what: str
    test: str
    reference: str
    design: str = "~ group"

    @property
    def contrast(self) -> tuple[str, str, str]:
        """Factor, test level, reference level."""
        return "group", self.test, self.reference


STUDIES = {
    "covid_thair2021": Question("whole blood", "covid", "healthy"),
    "pickrell2010_sex": Question("lymphoblastoid cell lines of one population", "female", "male"),
    "schurch2016": Question("yeast, a knock-out and the wild type, the replicates called bad included", "Snf2", "WT"),
    "hapmap_ceu_depth": Question("two laboratories' libraries of one population", "Cheung", "Montgomery"),
    "pasilla": Question("a fly's cell line, a knock-down", "treated", "untreated", "~ type + group"),
    "demo": Question("simulated: the study of `dediag demo`", "case", "control"),
}
COHORTS = 6  # simulated, at least: below it some diagnostics give no answer
CHROMOSOMES = ("chromosome Y", "chromosome X", "others or unknown")  # of the calls that no list has
SEXES = "pickrell2010_sex"
REMEDIES = {
    "padj_group": "with group dispersions",
    "padj_recentred": "with recentred size factors",
    "padj_both": "with both",
}


def cohort_of(name: str, data: Path) -> Cohort:
    """The counts and samples of a study."""
    if name == "demo":
        return demo_study()[0]
    return dediag.read_cohort(data / name / "counts.tsv.gz", data / name / "samples.tsv")


def audited(name: str, data: Path, draws: int) -> dict[str, Any]:
    """What the audit of a study says."""
    question, started = STUDIES[name], time.time()
    settings = AuditSettings(draws=draws, permutations=draws, bootstraps=max(draws // 2, COHORTS), figures=False)
    with execution(workers=None, scheduler=None, cache=False) as how:
        done = auditing.audit(
            cohort_of(name, data), question.design, question.contrast, seed=1, settings=settings, execution=how
        )
    report = reporting.compose(done)
    found = {
        "design": report.design.formula,
        "test": report.design.test,
        "reference": report.design.reference,
        "n_test": report.design.n_test,
        "n_reference": report.design.n_reference,
        "genes": report.fit.n_tested,
        "alpha": report.fit.alpha,
        "n_up": report.fit.n_up,
        "n_down": report.fit.n_down,
        "status": str(report.status),
        "findings": [
            {"id": f.id, "status": str(f.status), "headline": f.headline, "reason": f.reason,
             "calls_at_risk": f.calls_at_risk, "seconds": round(f.seconds, 1)}
            for f in report.findings
        ],
        "strata": strata(report),
        "asked": digest.asked(report),
        "lead": digest.lead(report),
        "explanations": [
            {"id": e.id, "support": e.support, "statement": e.statement} for e in digest.explanations(report)
        ],
        "draws": settings.draws,
        "permutations": settings.permutations,
        "bootstraps": settings.bootstraps,
        "version": report.dediag_version,
    }  # fmt: skip
    if name == SEXES:
        found["known"] = known_genes(done.study, report, pd.read_csv(data / name / "genes.tsv.gz", sep="\t"))
    described: dict[str, Any] = plain(found | {"minutes": (time.time() - started) / 60.0})
    return described


def finding_of(report: Report, ident: str) -> Finding:
    """One diagnostic's finding."""
    return next(finding for finding in report.findings if finding.id == ident)


def table_of(finding: Finding, name: str) -> Table | None:
    """One of its tables; None where it has none of this name."""
    return next((table for table in finding.tables if table.name == name), None)


def rows_of(table: Table | None) -> list[dict[str, Any]]:
    """A table line by line."""
    if table is None:
        return []
    return [dict(zip(table.columns, values, strict=True)) for values in zip(*table.columns.values(), strict=True)]


def strata(report: Report) -> list[dict[str, Any]]:
    """The calls by base mean and direction, the last line all genes."""
    names = ["base_mean_from", "base_mean_below", "n_up", "n_down", "up_share"]
    names += ["expected_up_share", "expected_low", "expected_high"]
    return [
        {name: row[name] for name in names} for row in rows_of(table_of(finding_of(report, digest.SPLIT), "strata"))
    ]


def known_genes(study: Study, report: Report, genes: pd.DataFrame) -> dict[str, Any]:
    """The calls among the genes of the truth set, and the others by chromosome, with what puts them at risk."""
    chromosome = genes.set_index("gene_id")["chr"].reindex(study.cohort.genes).to_numpy()
    y, x = (study.cohort.genes.isin(genes.loc[genes[name].eq(True), "gene_id"]) for name in ("msY", "X_escape"))
    rest = ~(x | y)  # no gene is in both lists
    called, lfc, alpha = study.significant, study.fit.lfc, study.settings.alpha
    risks = {"below the noise floor": ~noise_floor.compute(study).kept}
    remedies = table_of(finding_of(report, "heteroskedasticity"), "genes")
    if remedies is not None:
        table = pd.DataFrame(dict(remedies.columns)).set_index("gene_id").reindex(study.cohort.genes.astype(str))
        for column, words in REMEDIES.items():
            if column in table:
                risks[f"lost {words}"] = ~(table[column].to_numpy(np.float64) < alpha)

    def counts(chosen: Mask) -> dict[str, int]:
        some = chosen & called
        return {
            "genes": int((chosen & (study.fit.base_mean > 0)).sum()),
            "tested": int((chosen & np.isfinite(study.fit.padj)).sum()),
            "up": int((some & (lfc > 0)).sum()),
            "down": int((some & (lfc < 0)).sum()),
            **{risk: int((some & at_risk).sum()) for risk, at_risk in risks.items()},
        }

    groups = {
        "listed as of Y": y,
        "listed as escaping X inactivation": x,
        "others of Y": rest & (chromosome == "Y"),
        "others of X": rest & (chromosome == "X"),
        "others": rest & (chromosome != "Y") & (chromosome != "X"),
    }
    return {name: counts(chosen) for name, chosen in groups.items()}


def main(argv: list[str] | None = None) -> int:
    """Audit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--draws", type=int, default=AuditSettings.draws, help="and permutations (100); half as many cohorts"
    )
    parser.add_argument("--data", nargs="+", choices=STUDIES, default=list(STUDIES), metavar="NAME")
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    if options.draws < 1:
        parser.error("--draws: give a whole number of at least 1")
    data = Path(os.environ.get("DEDIAG_DATA", "nowhere")) / "data"
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "validation_real.json"
    found: dict[str, dict[str, Any]] = json.loads(kept.read_text())["studies"] if kept.exists() else {}
    missing = []
    for name in options.data:
        if name != "demo" and not (data / name).is_dir():
            missing.append(name)
            continue
        found[name] = audited(name, data, options.draws)
        write(found, options.out)
    write(found, options.out)
    if missing:
        print(f"not audited: {', '.join(missing)} (DEDIAG_DATA names no folder with data/ of these)", file=sys.stderr)
    return 0


def write(found: Mapping[str, Any], folder: Path) -> None:
    """The numbers and the page of what is there."""
    document = {"studies": {name: found[name] for name in STUDIES if name in found}}
    (folder / "validation_real.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    (folder / "validation_real.md").write_text(as_markdown(document["studies"]))


def as_markdown(found: Mapping[str, Any]) -> str:
    """The page, for people."""
    lines = [
        "# Audits of real studies",
        "",
        "Written by `scripts/validation_real.py`; not edited by hand.",
        "Headlines, questions and explanations are those of each study's report, word by word.",
        "*at risk*: calls that would change, by that diagnostic's own count. *expected*: the up share that the design",
        "gives when no direction is favoured, with its 99 % prediction interval.",
        "",
    ]
    absent = [name for name in STUDIES if name not in found]
    if absent:
        lines += [f"Not audited here: {', '.join(absent)} (real studies need DEDIAG_DATA).", ""]
    for name, study in found.items():
        lines += section(name, study)
    return "\n".join(lines)


def section(name: str, study: Mapping[str, Any]) -> list[str]:
    """One study."""
    status = study["status"].replace("_", " ")
    sizes = f"{study['n_test']} v {study['n_reference']} samples"
    work = ", ".join(counted(study[f"{noun}s"], noun) for noun in ("draw", "permutation"))
    lines = [
        f"## {name}",
        "",
        f"{STUDIES[name].what[0].upper()}{STUDIES[name].what[1:]}.",
        f"{study['test']} over {study['reference']}, {sizes}, design `{study['design']}`; {study['genes']:,} genes.",
        f"At adjusted p < {study['alpha']:g}: {study['n_up']:,} up, {study['n_down']:,} down. Overall: {status}.",
        f"{work}, {counted(study['bootstraps'], 'simulated cohort')}; {study['minutes']:.1f} minutes.",
        "",
        "| diagnostic | status | at risk | headline |",
        "|---|---|---|---|",
        *(finding_line(finding) for finding in study["findings"]),
        "",
    ]
    if study["strata"]:
        lines += [
            "### Calls by base mean",
            "",
            "| base mean | up | down | up share | expected |",
            "|---|---|---|---|---|",
            *(stratum_line(row) for row in study["strata"]),
            "",
        ]
    if study["explanations"]:
        lines += [f"### {study['asked']}", ""]
    if study["lead"]:
        lines += [study["lead"], ""]
    lines += [f"- **{e['id'].replace('_', ' ')}** ({e['support']}): {e['statement']}" for e in study["explanations"]]
    lines += [""] if study["explanations"] else []
    if "known" in study:
        at_risk = {f["id"]: f["calls_at_risk"] for f in study["findings"] if f["calls_at_risk"]}
        lines += ["### Genes that are known to differ", "", *known_lines(study["known"], at_risk), ""]
    return lines


def finding_line(finding: Mapping[str, Any]) -> str:
    """A diagnostic's line of the table."""
    said = finding["headline"] + (f" ({finding['reason'].rstrip('.')})" if finding["reason"] else "")
    at_risk = "" if finding["calls_at_risk"] is None else f"{finding['calls_at_risk']:,}"
    return f"| `{finding['id']}` | {finding['status'].replace('_', ' ')} | {at_risk} | {cell(said)} |"


def stratum_line(row: Mapping[str, Any]) -> str:
    """A line of the calls by base mean."""
    ends = row["base_mean_from"], row["base_mean_below"]
    share = "" if row["up_share"] is None else f"{row['up_share']:.2f}"
    expected = ""
    if row["expected_up_share"] is not None:
        expected = f"{row['expected_up_share']:.2f} ({row['expected_low']:.2f} to {row['expected_high']:.2f})"
    return f"| {span(*ends)} | {row['n_up']:,} | {row['n_down']:,} | {share} | {expected} |"


def known_lines(known: Mapping[str, Mapping[str, int]], at_risk: Mapping[str, int]) -> list[str]:
    """What becomes of the genes of the truth set, and of the other calls."""
    calls = {name: part["up"] + part["down"] for name, part in known.items()}
    truth, (y, x, *others) = [], known.items()
    for name, part in (y, x):
        truth.append(
            f"{part['genes']} genes are {name}, of which {part['tested']} are tested; called up: {part['up']}, down:"
            f" {part['down']}."
        )
    columns = [name for name in y[1] if name not in ("genes", "tested")]
    rest = ", ".join(f"{calls[name]} of {where}" for (name, _), where in zip(others, CHROMOSOMES, strict=True))
    said = listed([f"{n:,} ({name})" for name, n in at_risk.items()]) or "none"
    return [
        "By this audit's fit and the data set's lists: genes of Y should be down, most of those that escape X",
        "inactivation up.",
        *truth,
        f"Other calls: {sum(calls[name] for name, _ in others)} ({rest}).",
        "Below, *lost*: not called by another analysis of the same counts (`heteroskedasticity`). Of all calls the",
        f"diagnostics themselves count at risk: {said}.",
        "",
        f"| genes | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
        *(f"| {name} | {' | '.join(str(part[column]) for column in columns)} |" for name, part in known.items()),
    ]


def cell(text: str) -> str:
    """Text in a table."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main())
