"""Embeddings of known texts in the place of the text encoder."""

import numpy as np
import pytest
import torch

from cldm.known_texts import KnownTexts
from cldm.options import SamplingOptions
from cldm.sampling import sample_images

HINTS = [torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize("joint", [False, True])
def test_pictures_are_those_of_the_encoder(tiny_cldm, joint):
    options = SamplingOptions(steps=2, scale=3.0, joint=joint)
    draw = HINTS, ["a cell", "two cells"], [5, 6], options
    whole = sample_images(tiny_cldm, *draw)
    other = sample_images(tiny_cldm, HINTS, ["two cells", "a cell"], [5, 6], options)
    assert not np.array_equal(other, whole)  # the text matters
    tiny_cldm.cond_stage_model = KnownTexts(tiny_cldm.cond_stage_model, ["a cell", "two cells"])
    assert not any(key.startswith("cond_stage") for key in tiny_cldm.state_dict())
    # Drawn jointly, an encoder may round texts of a batch in another way.
    known = sample_images(tiny_cldm, *draw).astype(int)
    assert np.abs(known - whole).max() <= (1 if joint else 0)


def test_a_text_that_was_not_named_is_an_error(tiny_cldm):
    known = KnownTexts(tiny_cldm.cond_stage_model, ["a cell"])
    assert known(["", "a cell", "a cell"]).shape[:2] == (3, 77)
    assert torch.equal(known(["a cell"]), tiny_cldm.cond_stage_model(["a cell"]))
    with pytest.raises(KeyError):
        known(["two cells"])
