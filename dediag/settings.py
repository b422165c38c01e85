"""How much an audit computes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AuditSettings:
    """How much an audit computes, and the cut-off of its calls."""

    draws: int = 100  # balanced draws, and half as many control draws
    draw_size: int | None = None  # samples per group in a balanced draw; None: the size of the smaller group
    permutations: int = 100  # of the labels, and half as many mock splits
    bootstraps: int = 50  # simulated cohorts
    alpha: float = 0.1  # adjusted p below which a gene is called
    all_genes: bool = False  # glm_agreement: every gene instead of a stratified sample
    figures: bool = True  # drawn; they take more than half the time of a small audit
