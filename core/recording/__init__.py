"""Records of runs: what was asked for, how far it is, and who works on it."""
