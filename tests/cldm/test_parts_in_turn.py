"""Parts of a model brought to the GPU in turn, and the same pictures."""

import numpy as np
import pytest
import torch

from cldm.options import SamplingOptions
from cldm.parts_in_turn import PartsInTurn
from cldm.sampling import Start, sample_images

OPTIONS = SamplingOptions(steps=2, scale=3.0)
HINT = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("start", [None, Start(2 * HINT - 1, 0.5)])
def test_only_what_a_phase_needs_is_on_the_gpu(shared_tiny_cldm, monkeypatch, start):
    reference = sample_images(shared_tiny_cldm, [HINT], ["a cell"], [5], OPTIONS, start=start)
    phases = []
    monkeypatch.setattr(
        shared_tiny_cldm, "low_vram_shift", lambda is_diffusing: phases.append(is_diffusing)
    )
    sample_images(shared_tiny_cldm, [HINT], ["a cell"], [5], OPTIONS, start=start)
    assert phases == []
    model = PartsInTurn(shared_tiny_cldm)
    images = sample_images(model, [HINT], ["a cell"], [5], OPTIONS, start=start)
    assert phases == [False, True, False]  # texts and start, U-Net, decoder
    assert np.array_equal(images, reference)
    sample_images(model, [HINT], ["a cell"], [6], OPTIONS)
    assert phases == [False, True, False, True, False]  # the text encoder is there already


def test_pictures_are_decoded_one_at_a_time(shared_tiny_cldm, monkeypatch):
    z, sizes, decode = torch.randn(3, 4, 8, 8), [], shared_tiny_cldm.decode_first_stage
    monkeypatch.setattr(
        shared_tiny_cldm, "decode_first_stage", lambda z: sizes.append(len(z)) or decode(z)
    )
    assert PartsInTurn(shared_tiny_cldm).decode_first_stage(z).shape == (3, 3, 64, 64)
    assert sizes == [1, 1, 1]
