"""Which predictions are recorded; graphs on a GPU are tried in tests marked `gpu`."""

import pytest
import torch

from cldm.recorded import RecordedPredictions, stop_recording
from core.notices import Notice


class Recorder:
    """Recorder that calls the work itself, and counts recordings and replays.

    Args:
        change: what it makes of results.
    """

    def __init__(self, change=lambda result: result):
        self.recorded, self.replayed, self.change = 0, 0, change

    def __call__(self, work, inputs):
        self.recorded += 1

        def replay(*inputs):
            self.replayed += 1
            return self.change(work(*inputs))

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
    return recorder, RecordedPredictions(tiny_cldm.apply_model, recorder)


@torch.no_grad()
def test_the_second_call_of_a_form_is_recorded_and_the_rest_replayed(recorded, tiny_cldm):
    recorder, predictions = recorded
    # One replay of the second call is compared with the call itself.
    for i, (made, replayed) in enumerate([(0, 0), (1, 2), (1, 3)]):
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
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(3):
            call(predictions, scales=scales)
    assert (recorder.recorded, recorder.replayed) == (5, 15)


def test_calls_of_the_other_kind_are_left_alone(recorded, tiny_cldm):
    recorder, predictions = recorded
    for _ in range(3):
        assert call(predictions, scales=None).requires_grad
    predictions.parameters = tiny_cldm.trainable_parameters()
    with torch.no_grad():
        for _ in range(3):
            call(predictions, scales=None)
    assert recorder.recorded == 0
    for _ in range(3):
        assert call(predictions, scales=None).requires_grad
    assert recorder.recorded == 1


class Doubled(torch.autograd.Function):
    """The same value with twice its gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


@pytest.mark.parametrize("change", [lambda x: x.roll(1, dims=2), Doubled.apply])
def test_a_recording_that_computes_something_else_is_not_used(tiny_cldm, change):
    gradients = change == Doubled.apply
    recorder = Recorder(change)
    parameters = tiny_cldm.trainable_parameters() if gradients else ()
    predictions = RecordedPredictions(tiny_cldm.apply_model, recorder, parameters)
    expected = call(tiny_cldm.apply_model, scales=None)
    with torch.set_grad_enabled(gradients):
        call(predictions, scales=None)
        with pytest.warns(Notice, match="kernels are launched one by one"):
            assert torch.equal(call(predictions, scales=None), expected)
        assert torch.equal(call(predictions, scales=None), expected)
    assert (recorder.recorded, recorder.replayed) == (1, 1)


def test_a_model_gets_its_predictions_back(tiny_cldm):
    own = tiny_cldm.apply_model
    tiny_cldm.apply_model = RecordedPredictions(own, Recorder())
    stop_recording(tiny_cldm)
    stop_recording(tiny_cldm)
    assert tiny_cldm.apply_model == own
