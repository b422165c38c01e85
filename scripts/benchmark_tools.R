# Seconds that one R tool takes for a study, from size factors to adjusted p-values; reading the data is not counted.
# usage: Rscript benchmark_tools.R FOLDER TOOL REPEATS
# FOLDER has counts.tsv (genes x samples) and samples.tsv with a column `group` (case, control).
# The last line printed is JSON: the seconds of each repeat, the versions, genes with adjusted p < 0.1.
a <- commandArgs(TRUE)
tool <- a[2]; repeats <- as.integer(a[3])
package <- c(DESeq2 = "DESeq2", glmGamPoi = "glmGamPoi", edgeR_QL = "edgeR", limma_voom = "limma")[[tool]]
if (!requireNamespace(package, quietly = TRUE)) { cat('{"missing": true}\n'); quit() }
suppressMessages({library(package, character.only = TRUE); if (tool == "limma_voom") library(edgeR)})
counts <- as.matrix(read.delim(file.path(a[1], "counts.tsv"), row.names = 1, check.names = FALSE))
storage.mode(counts) <- "integer"
samples <- read.delim(file.path(a[1], "samples.tsv"), row.names = 1)
samples$group <- relevel(factor(samples$group), "control")
X <- model.matrix(~ group, samples)
run <- switch(tool,
  DESeq2 = function(counts) {
    dds <- DESeq(DESeqDataSetFromMatrix(counts, samples, ~ group), quiet = TRUE)
    results(dds, contrast = c("group", "case", "control"))$padj
  },
  glmGamPoi = function(counts) {
    fit <- glm_gp(counts, design = ~ group, col_data = samples, on_disk = FALSE)
    test_de(fit, contrast = groupcase)$adj_pval
  },
  edgeR_QL = function(counts) {
    y <- estimateDisp(calcNormFactors(DGEList(counts, group = samples$group)), X)
    topTags(glmQLFTest(glmQLFit(y, X), coef = 2), n = Inf, sort.by = "none")$table$FDR
  },
  limma_voom = function(counts) {
    v <- voom(calcNormFactors(DGEList(counts, group = samples$group)), X)
    topTable(eBayes(lmFit(v, X)), coef = 2, n = Inf, sort.by = "none")$adj.P.Val
  })
invisible(suppressMessages(run(head(counts, 400))))  # untimed: byte code compiled, packages loaded
seconds <- numeric(repeats)
for (i in seq_len(repeats)) seconds[i] <- system.time(padj <- suppressMessages(run(counts)))[["elapsed"]]
cat(sprintf('{"seconds": [%s], "version": "%s", "language": "R %s", "calls": %d}\n', paste(seconds, collapse = ", "),
  packageVersion(package), as.character(getRversion()), sum(padj < 0.1, na.rm = TRUE)))
