# DESeq2's normal-prior shrinkage of the simulated cohorts, standard design: fold changes, standard errors, prior variances.
# usage: Rscript make_lfc_shrinkage.R SIMULATED_DIR OUT_DIR
suppressMessages(library(DESeq2))
a <- commandArgs(TRUE)
designs <- list(small_5v5 = ~ group, factors_8v8 = ~ batch + rin + group, separated_6v6 = ~ group)
prior <- NULL
for (name in names(designs)) {
  d <- file.path(a[1], name)
  counts <- as.matrix(read.delim(gzfile(file.path(d, "counts.tsv.gz")), row.names = 1))
  s <- read.delim(file.path(d, "samples.tsv"), row.names = 1)
  for (f in intersect(c("batch", "group"), names(s))) s[[f]] <- factor(s[[f]])
  s$group <- relevel(s$group, "control")
  dds <- DESeq(DESeqDataSetFromMatrix(counts, s, designs[[name]]), quiet = TRUE)
  r <- lfcShrink(dds, coef = "group_case_vs_control", type = "normal", quiet = TRUE)
  out <- data.frame(gene_id = rownames(r), log2FoldChange = signif(r$log2FoldChange, 9), lfcSE = signif(r$lfcSE, 9))
  con <- gzfile(file.path(a[2], paste0(name, ".tsv.gz")), "w")
  write.table(out, con, sep = "\t", quote = FALSE, row.names = FALSE); close(con)
  v <- priorInfo(r)$betaPriorVar
  prior <- rbind(prior, data.frame(cohort = name, coefficient = names(v), prior_variance = signif(as.numeric(v), 12)))
}
write.table(prior, file.path(a[2], "prior_variance.tsv"), sep = "\t", quote = FALSE, row.names = FALSE)
