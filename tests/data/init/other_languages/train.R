library(optparse)
options <- list(
  make_option(c("-l", "--lr"), type = "double", default = 0.1, help = "learning rate"),
  make_option("--trees", type = "integer", default = 100),
  make_option("--augment", action = "store_true", default = FALSE)
)
opt <- parse_args(OptionParser(option_list = options))
cat(sprintf("epoch %d rmse: %.4f\n", 1, abs(opt$lr - 0.2)))
