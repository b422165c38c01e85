"""The sex that a sample's expression shows: XIST in females, genes of the Y chromosome in males."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]

# Symbols (human, mouse) and Ensembl ids: expressed in many tissues, not in the pseudoautosomal regions
FEMALE = frozenset({"XIST", "ENSG00000229807", "ENSMUSG00000086503"})
MALE = frozenset({
    "RPS4Y1", "DDX3Y", "KDM5D", "EIF1AY", "USP9Y", "UTY", "ZFY", "EIF2S3Y", "ENSG00000129824", "ENSG00000067048",
    "ENSG00000012817", "ENSG00000198692", "ENSG00000114374", "ENSG00000183878", "ENSG00000067646", "ENSMUSG00000069045",
    "ENSMUSG00000056673", "ENSMUSG00000069049", "ENSMUSG00000068457",
})  # fmt: skip
WORDS = {"female": 0, "f": 0, "woman": 0, "male": 1, "m": 1, "man": 1}
FEWEST = 2  # samples of each sex
APART = 3.0  # log2 units between the sexes' medians from which expression tells them apart
OFFSET = 0.5  # counts per million: below it nothing is seen
CLEAR = 0.75  # of the way from one sex to the other: from there on expression shows the other one


def markers(genes: Sequence[str]) -> tuple[Index, Index]:
    """Positions of XIST and of the genes of the Y chromosome; version suffixes of ids and case do not matter."""
    names = [gene.upper().split(".")[0] for gene in genes]
    female = [i for i, name in enumerate(names) if name in FEMALE]
    male = [i for i, name in enumerate(names) if name in MALE]
    return np.array(female, np.intp), np.array(male, np.intp)


def recorded(values: Sequence[object]) -> Index | None:
    """0 for female, 1 for male, -1 for missing, of a column that holds nothing else: (n_samples,); None: another."""
    words = [str(value).strip().lower() for value in values]
    codes = np.array([WORDS.get(word, -1 if word in ("", "nan", "none", "na", "unknown") else -2) for word in words])
    sure = min((codes == sex).sum() for sex in (0, 1)) >= FEWEST
    return codes.astype(np.intp) if sure and codes.min() > -2 else None


def maleness(female: Array, male: Array, sex: Index) -> Array | None:
    """Where each sample lies from the recorded females (0) to the recorded males (1): (n_samples,); None: not told.

    female and male (n_samples,): counts per million of XIST and of the Y genes together, zeros where there are none.
    The medians of the recorded sexes mark the ends, so that up to half of a sex may be wrong.
    """
    contrast = np.log2(male + OFFSET) - np.log2(female + OFFSET)
    middle = [float(np.median(contrast[sex == code])) for code in (0, 1)]
    if middle[1] - middle[0] < APART:
        return None
    return np.asarray((contrast - middle[0]) / (middle[1] - middle[0]))


def shown(genes: Sequence[str], cpm: Array, columns: Iterable[Sequence[object]]) -> list[tuple[str, str]] | None:
    """Recorded and shown sex of each sample: "female", "male", or "" where not recorded and "unclear" where not shown.

    genes (n_genes,) names of the rows of cpm (n_genes, n_samples); columns of a sample table, of which the first that
    holds nothing but sexes is taken. None where there is no such column or gene, or expression does not tell them.
    """
    of_female, of_male = markers(genes)
    sex = next((codes for codes in map(recorded, columns) if codes is not None), None)
    if sex is None or not of_female.size + of_male.size:
        return None
    where = maleness(cpm[of_female].sum(axis=0), cpm[of_male].sum(axis=0), sex)
    if where is None:
        return None
    names = np.where(where <= 1.0 - CLEAR, "female", np.where(where >= CLEAR, "male", "unclear"))
    said = np.array(["female", "male", ""])[sex]
    return [(str(a), str(b)) for a, b in zip(said, names, strict=True)]
