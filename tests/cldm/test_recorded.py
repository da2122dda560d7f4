"""Which predictions are recorded; that graphs compute the same is shown in tests marked `gpu`."""

import pytest
import torch

from cldm.recorded import RecordedPredictions


class Recorder:
    """Recorder that calls the work itself, and counts recordings and replays."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, work, inputs):
        self.recorded += 1

        def replay(*inputs):
            self.replayed += 1
            return work(*inputs)

        return replay


def call(predict, batch=2, scales=(1.0,), hint=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 4, 8, 8, generator=generator)
    t = torch.full((batch,), 500)
    context = torch.randn(batch, 77, 32, generator=generator)
    hints = [torch.rand(batch, 3, 64, 64, generator=generator)] if hint else None
    cond = {"c_crossattn": [context], "c_concat": hints}
    return predict(x, t, cond, scales and list(scales))


@pytest.fixture
def recorded(tiny_cldm):
    """A recorder, and the predictions of the tiny model that it records."""
    recorder = Recorder()
    return recorder, RecordedPredictions(tiny_cldm.apply_model, recorder, gradients=False)


@torch.no_grad()
def test_the_second_call_of_a_form_is_recorded_and_the_rest_replayed(recorded, tiny_cldm):
    recorder, predictions = recorded
    for i, (made, replayed) in enumerate([(0, 0), (1, 1), (1, 2)]):
        expected = call(tiny_cldm.apply_model, scales=None, seed=i)
        assert torch.equal(call(predictions, scales=None, seed=i), expected)
        assert (recorder.recorded, recorder.replayed) == (made, replayed)


@torch.no_grad()
def test_each_form_has_its_own_recording(recorded, tiny_cldm):
    recorder, predictions = recorded
    scales = [1.0] * len(tiny_cldm.control_scales)
    forms = [
        {"scales": scales},
        {"scales": scales, "batch": 1},
        {"scales": [0.5, *scales[1:]]},
        {"scales": scales, "hint": False},  # guidance in guess mode
    ]
    for _ in range(3):
        for seed, form in enumerate(forms):
            expected = call(tiny_cldm.apply_model, **form, seed=seed)
            assert torch.equal(call(predictions, **form, seed=seed), expected)
    assert (recorder.recorded, recorder.replayed) == (4, 8)


def test_calls_of_the_other_kind_are_left_alone(recorded, tiny_cldm):
    recorder, predictions = recorded
    for _ in range(3):
        assert call(predictions, scales=None).requires_grad
    predictions.gradients = True
    with torch.no_grad():
        for _ in range(3):
            call(predictions, scales=None)
    assert recorder.recorded == 0
