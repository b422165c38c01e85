"""Words that a report uses and does not explain where they stand."""

TERMS = {
    "Adjusted p (padj)": (
        "The p-value after the Benjamini-Hochberg correction: among all genes called at adjusted p < 0.1, about 10 %"
        " are expected to be false, provided the p-values are right."
    ),
    "Base mean": (
        "A gene's mean count over all samples after division by the size factors: how strongly it is expressed, on the"
        " scale of counts."
    ),
    "Calls": "The genes called differentially expressed: adjusted p below the cut-off of the audit.",
    "Calls at risk": "How many of the calls would change (appear or vanish) if the finding were acted upon.",
    "Contrast": (
        "Which two groups are compared. Test over reference: a positive fold change is higher expression in the test"
        " group."
    ),
    "Cook's distance": (
        "How far one sample pulls a gene's fit. A gene with a sample beyond the cut-off gets no p-value (an outlier)."
    ),
    "CPM": "Counts per million: a count divided by the sample's total, times a million.",
    "Dispersion": (
        "The spread of counts between replicates beyond counting noise: variance = mean + dispersion × mean²."
        " Its square root is the biological coefficient of variation."
    ),
    "Dispersion trend": (
        "The dispersion typical of genes of a given base mean, toward which each gene's own estimate is shrunken."
    ),
    "Floor": "The expression below which a group's data no longer carry information about a gene.",
    "Independent filtering": (
        "Genes with too low a base mean to reach significance are left out before the correction for multiple tests;"
        " their adjusted p is NA."
    ),
    "Jaccard index": "The overlap of two lists: the genes in both over the genes in either; 1 for equal lists.",
    "Log2 fold change (LFC)": (
        "The logarithm to base 2 of expression in the test group over that in the reference group: 1 is twice, -1 is"
        " half."
    ),
    "Null size": (
        "The share of genes with p < 0.05 when there is no difference between the groups. It should be 0.05."
    ),
    "Shrunken fold change": (
        "A fold change pulled toward zero in proportion to its uncertainty, so that large values are trustworthy."
    ),
    "Size factor": "A sample's depth relative to the others; counts are divided by it before they are compared.",
    "Stratum": "Genes within a range of base means.",
}
