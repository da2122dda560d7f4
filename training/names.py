"""Names of the best weights in the folder of a training."""

BEST = "EM_best_results"
BEST_FID = "EM_best_fid"
BEST_AGREEMENT = "EM_best_agreement"
BESTS = BEST, BEST_FID, BEST_AGREEMENT
