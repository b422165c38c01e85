# Sample weights of limma by residual maximum likelihood (arrayWeights, method = "reml") on real data sets.
# usage: Rscript make_array_weights_reml.R DATA_FOLDER > array_weights_reml.tsv
# DATA_FOLDER has data/NAME/counts.tsv.gz, reference/real.tsv and reference/real/NAME/{samples,limma_voom}.tsv.gz.
# Left out: airway, whose pairs have a coefficient of their own each, so that nothing tells the two samples of a pair
# apart, and the sets whose weights take minutes. The tolerance is on score times step, divided by the number of genes
# twice: limma's own, 1e-5, is met after one step, 1e-20 at the optimum.
suppressMessages({library(limma); library(edgeR)})
root <- commandArgs(TRUE)[1]
about <- read.delim(file.path(root, "reference", "real.tsv"), row.names = 1)
cat("dataset\tsample\tweight\n")
for (name in c("pasilla", "bottomly", "seqc_coh")) {
  folder <- file.path(root, "reference", "real", name)
  samples <- read.delim(file.path(folder, "samples.tsv.gz"), row.names = 1, check.names = FALSE)
  genes <- rownames(read.delim(file.path(folder, "limma_voom.tsv.gz"), row.names = 1))
  counts <- as.matrix(read.delim(file.path(root, "data", name, "counts.tsv.gz"), row.names = 1, check.names = FALSE))
  a <- about[name, ]
  for (f in strsplit(a$factors, ",")[[1]]) samples[[f]] <- factor(samples[[f]])
  samples[[a$factor]] <- relevel(samples[[a$factor]], a$reference)
  design <- model.matrix(as.formula(a$design), samples)
  logs <- voom(calcNormFactors(DGEList(counts[genes, rownames(samples)])), design)
  weight <- as.numeric(arrayWeights(logs, design, method = "reml", maxiter = 500, tol = 1e-20))
  cat(sprintf("%s\t%s\t%.8f\n", name, rownames(samples), weight), sep = "")
}
