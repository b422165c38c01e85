# Share of true null hypotheses as qvalue estimates it, from the p-values of the DESeq2 references.
# usage: Rscript make_qvalue_pi0.R SIMULATED_DIR DATA_FOLDER > qvalue_pi0.tsv
# SIMULATED_DIR has NAME/expected/deseq2_wald.tsv.gz, DATA_FOLDER has reference/real/NAME/deseq2_wald.tsv.gz.
suppressMessages(library(qvalue))
roots <- commandArgs(TRUE)
files <- c(Sys.glob(file.path(roots[1], "*", "expected", "deseq2_wald.tsv.gz")),
           Sys.glob(file.path(roots[2], "reference", "real", "*", "deseq2_wald.tsv.gz")))
cat("dataset\tkind\tn\tsmoother\tbootstrap\n")
for (file in files) {
  simulated <- basename(dirname(file)) == "expected"
  name <- basename(if (simulated) dirname(dirname(file)) else dirname(file))
  p <- read.delim(file)$pvalue
  p <- p[!is.na(p)]
  found <- sapply(c("smoother", "bootstrap"), function(method) pi0est(p, pi0.method = method)$pi0)
  cat(name, if (simulated) "simulated" else "real", length(p), sprintf("%.8f", found), sep = "\t")
  cat("\n")
}
