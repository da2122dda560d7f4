"""Predictions of a model on a GPU that are replayed from CUDA graphs (`core.hardware.cuda_graphs`).

A call is recorded when its form comes for the second time: sizes of batches and images, the parts
of its conditions, control scales, precision. The first call launches every kernel once, and what
comes only once, such as the rest of a run, costs no recording. A recording is compared with the
call that it stands for, and is not used where the two differ.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import torch

from cldm.controlnet import ControlledDiffusionModel
from core.hardware.cuda_graphs import Work, record, record_with_gradients
from core.notices import notify

# Largest difference of a recording, as a part of the largest value. The kernels are the same, but
# some add up in no fixed order, and what is wrong with a recording is far larger.
TOLERANCE = 0.05


def record_drawing(model: ControlledDiffusionModel) -> None:
    """Have the predictions of a model recorded that draws images from now on.

    Its weights must stay where they are, and its attributes as they are.
    """
    pool = torch.cuda.graph_pool_handle()  # of all graphs: their results are copied at once
    model.apply_model = RecordedPredictions(model.apply_model, partial(record, pool=pool))


def record_training(model: ControlledDiffusionModel) -> None:
    """Have the predictions of a model that is trained recorded, with their gradients.

    Predictions without gradients, for validation, are left as they are.
    """
    parameters = model.trainable_parameters()
    recorder = partial(record_with_gradients, parameters=parameters)
    model.apply_model = RecordedPredictions(model.apply_model, recorder, parameters)


def stop_recording(model: ControlledDiffusionModel) -> None:
    """Give a model its own predictions back."""
    vars(model).pop("apply_model", None)


class RecordedPredictions:
    """Stand-in for a model's `apply_model`.

    Args:
        predict: the model's own.
        recorder: function that records work with an example of its inputs.
        parameters: what gradients flow to, if calls are recorded that need gradients; else those
            that need none.
    """

    def __init__(
        self,
        predict: Callable,
        recorder: Callable[[Work, Sequence[torch.Tensor]], Work],
        parameters: Sequence[torch.nn.Parameter] = (),
    ):
        self.predict, self.recorder, self.parameters = predict, recorder, parameters
        self.seen: set = set()
        self.recorded: dict = {}

    def __call__(self, x_noisy, t, cond, control_scales=None):
        """As `ControlledDiffusionModel.apply_model`."""
        if torch.is_grad_enabled() != bool(self.parameters):
            return self.predict(x_noisy, t, cond, control_scales)  # (N, C, h, w)
        form = tuple((key, None if values is None else len(values)) for key, values in cond.items())
        tensors = [x_noisy, t, *(value for values in cond.values() for value in values or ())]
        scales = control_scales and tuple(control_scales)
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        device = x_noisy.device.type
        mixed = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
        key = form, scales, shapes, mixed
        if key not in self.seen:
            self.seen.add(key)
            return self.predict(x_noisy, t, cond, control_scales)  # (N, C, h, w)
        if key not in self.recorded:
            work = partial(_predict, self.predict, form, scales)
            self.recorded[key] = self._record(work, tensors)
        return self.recorded[key](*tensors)  # (N, C, h, w)

    def _record(self, work, tensors):
        """A recording of `work`; `work` itself where they differ."""
        expected = self._results(work, tensors)  # before: recording frees memory that it used
        recording = self.recorder(work, tensors)
        found = self._results(recording, tensors)
        if all(_close(*values) for values in zip(found, expected, strict=True)):
            return recording
        notify("CUDA graphs compute something else on this GPU: kernels are launched one by one")
        return work

    def _results(self, work, tensors):
        """The prediction, and gradients of the first and the last parameters."""
        output = work(*tensors)  # (N, C, h, w)
        if not self.parameters:
            return [output]
        ends = [self.parameters[0], self.parameters[-1]]
        gradients = torch.autograd.grad(output, ends, torch.ones_like(output))
        # A replay overwrites them.
        return [value.detach().clone() for value in (output, *gradients)]


def _predict(predict, form, control_scales, x_noisy, t, *parts):
    """Prediction from tensors alone, (N, C, h, w); `form` says which parts `cond` is made of."""
    left = iter(parts)
    cond = {key: None if count is None else list(islice(left, count)) for key, count in form}
    return predict(x_noisy, t, cond, control_scales)  # (N, C, h, w)


def _close(found, expected):
    limit = TOLERANCE * expected.abs().max()
    # Where the networks overflow, a recording does too: whoever reads the result will notice.
    return not expected.isfinite().all() or bool((found - expected).abs().max() <= limit)
