"""A study of what training data help a segmenter: arms, seeds, one split, tests on real images.

In the order in which a study uses them:

- `config`: the study file.
- `split`, `parts`: real pairs for training, validation and test.
- `held_out`: the check that generated pairs show nothing of the test.
- `jobs`: the trainings.
- `result_files`: their results as files.
- `rows`: results by arm and number of labelled images.
- `report`, `curves`: the answer.
"""
