"""What the report says of its explanations: of warnings, of a lean, and of an uneven split without an alarm."""

from dataclasses import replace

from dediag.finding import Finding, Metric, Status
from dediag.report import Explanation, digest

OTHER = Finding("log_scale_tests", "?", Status.PASS, "alike")


def with_split(report, status, expected, up, down, explanations):
    split = Finding("sign_asymmetry", "?", status, "h", metrics=(Metric("expected_up_fraction", expected),))
    counts = replace(report.fit, n_up=up, n_down=down)
    return replace(report, findings=(split, OTHER), fit=counts, explanations=tuple(explanations))


def test_an_uneven_split_without_an_alarm_is_told_as_the_designs_own(report) -> None:
    told = with_split(report, Status.PASS, 0.68, 65, 35, [Explanation("biology", "none", "Not needed.")])
    assert digest.asked(told) == "What could make 65 % of the calls go up?"  # though a little less than expected
    assert digest.lead(told).startswith("The calls lean as this design makes them lean by itself")


def test_a_lean_is_asked_about_in_its_own_direction(report) -> None:
    told = with_split(report, Status.WARN, 0.8, 65, 35, [Explanation("biology", "none", "Not yet.")])
    assert digest.asked(told) == "What could make 35 % of the calls go down?"
    assert digest.lead(told).startswith("Something is surprising here")


def test_warnings_without_a_lean(report) -> None:
    told = with_split(report, Status.PASS, 0.5, 50, 50, [Explanation("one_sample", "moderate", "It.")])
    alarmed = replace(told, findings=(*told.findings, Finding("influence", "?", Status.WARN, "h")))
    assert digest.asked(alarmed) == "What could be behind the warnings?"
    assert digest.lead(alarmed) == "Best supported of the candidate explanations: one sample (moderate)."
