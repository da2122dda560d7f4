"""Files of weights: ours, those of torch and Lightning, and those of other programs."""
