"""From files to a Cohort: one file here for each kind of input; the checks that all of them share are in validation."""

from dediag.readers.cohort_files import Source, read_cohort, read_with_sources
from dediag.readers.gene_annotation import annotated, is_file

__all__ = ["Source", "annotated", "is_file", "read_cohort", "read_with_sources"]
