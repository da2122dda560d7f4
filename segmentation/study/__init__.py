"""A study of what training data help a segmenter: arms, seeds, one split, tests on real images."""
