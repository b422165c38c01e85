"""What the first page says: the order of importance, the summary lines, the methods paragraph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dediag.finding import Finding, Status
from dediag.report.plain import plain
from dediag.report.wording import STATUS_WORDS, number, percent
from dediag.rounding import counted, listed
from dediag.synthesis import Explanation, ranked, surprising

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dediag.finding import Metric
    from dediag.report.report import Report, Stratum

SPLIT = "sign_asymmetry"  # what most readers come for
TOP = 3  # findings on the first page
PASSED = 4  # passes named there when fewer than TOP findings ask for anything
NOTHING_TO_DO = "Nothing to do."  # an advice that need not be repeated beside a pass
DEFECT = (
    "This check stopped with an error: a defect of dediag, not of your data. The rest of the report is not affected."
)
SECTIONS = (  # as in the catalogue of diagnostics; what is not listed comes last under its own heading
    (
        "The design and the fit",
        ("imbalance", "group_weights", "convergence", "influence", "replicability", "confounding"),
    ),
    ("Direction", ("sign_asymmetry", "normalization")),
    ("Floors", ("noise_floor", "detection_limit")),
    ("Variance", ("heteroskedasticity", "sample_quality", "goodness_of_fit", "null_calibration", "p_value_shape")),
    ("Other methods and finished tables", ("log_scale_tests", "glm_agreement", "table_integrity")),
)


def by_importance(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that ask something of the reader: worst status first, a lean of the calls, most calls at risk."""
    asking = [finding for finding in findings if finding.status.severity > 0]
    return sorted(asking, key=lambda f: (-f.status.severity, f.id != SPLIT, -(f.calls_at_risk or 0)))


def risk(finding: Finding) -> str:
    """`12 calls at risk`; empty where that is not known, and where none is beside a pass, which goes without saying."""
    n = finding.calls_at_risk
    return "" if n is None or (n == 0 and finding.status.severity <= 0) else f"{counted(n, 'call')} at risk"


def known(metrics: Sequence[Metric]) -> list[Metric]:
    """The numbers that are available on this study; NaN and infinities, null in report.json, are not."""
    return [metric for metric in metrics if plain(metric.value) is not None]


def evidence(finding: Finding) -> str:
    """What stands behind a finding, in a line: `2 figures, 8 numbers, 1 table, method`; empty when nothing does."""
    counts = {"figure": len(finding.figures), "number": len(known(finding.metrics)), "table": len(finding.tables)}
    parts = [counted(n, noun) for noun, n in counts.items() if n]
    return ", ".join([*parts, *(["method"] if finding.explanation or finding.references else [])])


def by_section(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    """Sections that have findings, in the catalogue's order."""
    placed = {finding_id for _, ids in SECTIONS for finding_id in ids}
    sections = [(title, [f for f in findings if f.id in ids]) for title, ids in SECTIONS]
    sections.append(("Further questions", [f for f in findings if f.id not in placed]))
    return [(title, members) for title, members in sections if members]


def lead(report: Report) -> str:
    """What the candidate explanations come to, in a sentence; empty where nothing was assessed."""
    if not report.explanations:
        assessed = any(finding.status.severity >= 0 for finding in report.findings)
        return "Nothing here is surprising, so nothing needs explaining." if assessed else ""
    supported = ranked(report.explanations)
    if not supported and not surprising(report.findings):
        return "The calls lean as this design makes them lean by itself; none of the candidates is needed."
    if not supported:
        return "Something is surprising here, and the evidence in this report supports none of the candidates."
    best = [explanation for explanation in supported if explanation.support == supported[0].support]
    names = listed([explanation.id.replace("_", " ") for explanation in best])
    if supported[0].support == "weak":
        return f"None of the candidate explanations has more than weak support ({names})."
    return f"Best supported of the candidate explanations: {names} ({supported[0].support})."


def asked(report: Report) -> str:
    """The question that the candidate explanations answer."""
    split = next((finding for finding in report.findings if finding.id == SPLIT), None)
    calls = report.fit.n_up + report.fit.n_down
    if split is None or not calls or (split.status.severity <= 0 and surprising(report.findings)):
        return "What could be behind the warnings?"
    up = report.fit.n_up / calls
    given = next((m.value for m in split.metrics if m.name == "expected_up_fraction"), None)
    expected = given if isinstance(given, (int, float)) and split.status.severity > 0 else 0.5
    if up < expected:
        return f"What could make {100 * (1 - up):.0f} % of the calls go down?"
    return f"What could make {100 * up:.0f} % of the calls go up?"


def explanations(report: Report) -> list[Explanation]:
    """The candidate explanations, the best supported first."""
    supported = ranked(report.explanations)
    return [*supported, *(e for e in report.explanations if e not in supported)]


def overall(report: Report) -> Status:
    """The overall status; not assessable when no finding counts, which the report's own `status` calls a pass."""
    if all(finding.status.severity < 0 for finding in report.findings):
        return Status.NOT_ASSESSABLE
    return report.status


def heading(report: Report) -> str:
    """The overall status in words."""
    status = overall(report)
    return "Nothing was assessed" if status is Status.NOT_ASSESSABLE else STATUS_WORDS[status].meaning


def tally(findings: Sequence[Finding]) -> str:
    """How many findings have each status: `1 fail, 2 warnings, 3 passed`."""
    nouns = {
        Status.ERROR: ("error of ours", "errors of ours"),
        Status.FAIL: ("fail", "fails"),
        Status.WARN: ("warning", "warnings"),
        Status.PASS: ("passed", "passed"),
        Status.NOT_ASSESSABLE: ("not assessable", "not assessable"),
        Status.SKIPPED: ("skipped", "skipped"),
    }
    counts = {status: sum(f.status is status for f in findings) for status in nouns}
    return ", ".join(counted(n, *nouns[status]) for status, n in counts.items() if n) or "no checks"


def remark(report: Report) -> str:
    """A second sentence under the heading, where the heading alone would mislead."""
    rest = [f.status for f in report.findings if f.status.severity >= 0 and f.status is not Status.ERROR]
    if report.status is Status.ERROR and rest:
        worst = max(rest, key=lambda status: status.severity)
        return f"The other checks are not affected; the worst of them says: {STATUS_WORDS[worst].meaning.lower()}."
    return ""


def absent(report: Report) -> str:
    """Which optional inputs were not given and what that disables, as sentences."""
    return " ".join(f"{sentence.rstrip('.;')}." for sentence in report.inputs.absent)


def summary_lines(report: Report) -> list[str]:
    """DESeq2's summary of the main fit."""
    fit = report.fit
    rows = (
        ("LFC > 0 (up)", fit.n_up),
        ("LFC < 0 (down)", fit.n_down),
        ("outliers", fit.n_outliers),
        ("low counts", fit.n_low_counts),
    )
    lines = [f"out of {fit.n_tested} with nonzero total read count", f"adjusted p-value < {fit.alpha:g}"]
    lines += [f"{name:<18} : {count}, {percent(count, fit.n_tested)}" for name, count in rows]
    if fit.filter_threshold is not None:
        lines.append(f"(mean count < {fit.filter_threshold:.0f})")
    return lines


def base_mean_range(stratum: Stratum) -> str:
    """`below 10`, `10 to 50`, `500 and more`, `all`."""
    if stratum.low is None or stratum.low == 0:
        return "all" if stratum.high is None else f"below {number(stratum.high)}"
    return (
        f"{number(stratum.low)} and more"
        if stratum.high is None
        else f"{number(stratum.low)} to {number(stratum.high)}"
    )


def times(report: Report) -> str:
    """Where the time went: `12 s in all: imbalance 8 s, noise_floor 3 s`; empty where nothing was timed."""
    taken = sorted(((f.seconds, f.id) for f in report.findings if f.seconds >= 0.5), reverse=True)
    if not taken:
        return ""
    total = sum(f.seconds for f in report.findings)
    listed = ", ".join(f"{name} {seconds:.0f} s" for seconds, name in taken)
    return f"{total:.0f} s for the checks and their refits: {listed}"


def methods(report: Report) -> str:
    """A paragraph for a methods section; says only what the report itself knows."""
    design, fit = report.design, report.fit
    prior = "" if fit.prior_variance is None else f" (prior variance {number(fit.prior_variance)})"
    threshold = fit.filter_threshold
    filtering = "" if threshold is None else f" after independent filtering at base mean {number(threshold)}"
    model = (
        f"Differential expression of {design.test} (n = {design.n_test}) over {design.reference}"
        f" (n = {design.n_reference}) was analysed with dediag {report.dediag_version}: negative binomial generalised"
        f" linear models of the counts of {counted(fit.n_tested, 'gene')} (design {design.formula}), dispersions"
        f" shrunken toward a {fit.trend} trend{prior}, p-values adjusted by the method of Benjamini and"
        f" Hochberg{filtering}."
    )
    calls = (
        f"At adjusted p < {fit.alpha:g}, {counted(fit.n_up, 'gene')} had higher and {fit.n_down:,} lower expression in"
        f" {design.test}."
    )
    sentences = [model, calls]
    ran = [finding.id for finding in report.findings if finding.status.severity >= 0]
    if ran:
        checks = counted(len(ran), "check")
        sentences.append(f"The result was audited with {checks} ({', '.join(ran)}), seed {report.seed}.")
    return " ".join(sentences)
