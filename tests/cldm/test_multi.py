import pytest
import torch
from torch import nn

from cldm.controlnet import ControlNet
from cldm.multi import MultiConditionControlNet
from generate import MultiConditionControlNet as exported


class Fixed(nn.Module):
    """A branch whose residuals follow from its features by hand: i + 1 times their mean."""

    def __init__(self, outputs=3):
        super().__init__()
        self.zero_convs = nn.ModuleList(nn.Identity() for _ in range(outputs - 1))
        self.calls = 0

    def encode_hint(self, hint):
        return hint.sum(dim=1, keepdim=True)

    def forward(self, x, hint, timesteps, context, guided_hint):
        self.calls += 1
        return [(i + 1) * guided_hint.mean(dim=(1, 2, 3)) for i in range(len(self.zero_convs) + 1)]


def residuals(net, hint):
    return net(x=torch.zeros(2, 4, 2, 2), hint=hint, timesteps=None, context=None)


def test_residuals_add_up_times_the_strengths():
    """Hints of ones: features 3 and 1, so output i is (i + 1) * (2 * 3 + 0.5 * 1)."""
    net = MultiConditionControlNet([Fixed(), Fixed()], [3, 1], ["mask", "edge"], [2.0, 0.5])
    total = residuals(net, torch.ones(2, 4, 16, 16))
    assert [r.tolist() for r in total] == [[6.5, 6.5], [13.0, 13.0], [19.5, 19.5]]


def test_each_branch_sees_its_own_channels():
    hint = torch.stack([torch.full((8, 8), float(v)) for v in (1, 10, 100)])[None]
    net = MultiConditionControlNet([Fixed(), Fixed()], [1, 2], ["a", "b"], {"b": 1.0, "a": 1000.0})
    assert residuals(net, hint)[0].tolist() == [1000 * 1 + 110]


def test_a_list_of_hints_is_not_joined_and_split():
    """Hints of different widths, one per branch, give what their concatenation gives."""
    hints = [torch.full((2, 3, 8, 8), 2.0), torch.full((2, 1, 8, 8), 5.0)]
    net = MultiConditionControlNet([Fixed(), Fixed()], [3, 1], ["mask", "edge"], [1.0, 10.0])
    features = net.encode_hints(hints)
    assert [f.mean().item() for f in features] == [6.0, 5.0]
    assert [f.data_ptr() for f in net._hint_per_branch(hints)] == [h.data_ptr() for h in hints]
    for hint in (hints, torch.cat(hints, dim=1), [torch.cat(hints, dim=1)]):
        assert residuals(net, hint)[0].tolist() == [56.0, 56.0]
    assert net(torch.zeros(2, 4, 1, 1), None, None, None, features)[0].tolist() == [56.0, 56.0]


def test_a_branch_at_zero_is_not_computed():
    idle, busy = Fixed(), Fixed()
    net = MultiConditionControlNet([idle, busy], [1, 1], ["a", "b"], [0, 1.0])
    assert residuals(net, torch.tensor([5.0, 7.0]).reshape(1, 2, 1, 1))[0].tolist() == [7.0]
    assert (idle.calls, busy.calls) == (0, 1)
    silent = MultiConditionControlNet([Fixed()], [1], ["a"], [0])
    out = residuals(silent, torch.ones(1, 1, 8, 8))
    assert len(out) == 3 and all((r + torch.ones(2) == 1).all() for r in out)


def test_one_branch_equals_the_branch_itself(tiny_cldm):
    """Exactly, in the model, with the hint encoded beforehand or not."""
    x, hint, t = torch.randn(2, 4, 8, 8), torch.rand(2, 3, 64, 64), torch.tensor([3, 700])
    cond = {"c_crossattn": [torch.randn(2, 77, 32)], "c_concat": [hint]}
    with torch.no_grad():
        expected = tiny_cldm.apply_model(x, t, cond)
        control = tiny_cldm.control_model
        tiny_cldm.control_model = MultiConditionControlNet([control], [3], ["mask"], [1.0])
        assert torch.equal(tiny_cldm.apply_model(x, t, cond), expected)
        assert torch.equal(tiny_cldm.apply_model(x, t, tiny_cldm.encode_hints(cond)), expected)
        tiny_cldm.control_model = MultiConditionControlNet(
            [control, control], [3, 3], ["a", "b"], [0.25, 0.75]
        )
        twice = tiny_cldm.apply_model(x, t, {**cond, "c_concat": [hint, hint]})
    assert torch.allclose(twice, expected, atol=1e-5 * float(expected.abs().max()))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="two control branches of one name"):
        MultiConditionControlNet([Fixed(), Fixed()], [3, 3], ["a", "a"], [1, 1])
    with pytest.raises(ValueError, match="2 control branches, 1 channel counts"):
        MultiConditionControlNet([Fixed(), Fixed()], [3], ["a", "b"], [1, 1])
    with pytest.raises(ValueError, match="strengths for"):
        MultiConditionControlNet([Fixed()], [3], ["a"], {"b": 1.0})


def test_it_is_importable_from_generate():
    assert exported is MultiConditionControlNet and issubclass(ControlNet, nn.Module)


def test_strengths_can_be_read_and_changed_by_name():
    net = MultiConditionControlNet([Fixed(), Fixed()], [1, 1], ["mask", "edge"], [2.0, 0.5])
    assert (net.get_condition_scale("mask"), net.get_condition_scale("edge")) == (2.0, 0.5)
    net.set_condition_scales({"edge": 10.0})
    assert residuals(net, torch.ones(1, 2, 8, 8))[0].tolist() == [12.0]
    net.set_condition_scales([1.0, 0.0])
    assert residuals(net, torch.ones(1, 2, 8, 8))[0].tolist() == [1.0]
    with pytest.raises(ValueError, match="no control branch 'egde', expected mask, edge"):
        net.set_condition_scales({"mask": 7.0, "egde": 1.0})
    with pytest.raises(ValueError, match="1 strengths for 2 control branches"):
        net.set_condition_scales([7.0])
    assert net.get_condition_scale("mask") == 1.0
    assert MultiConditionControlNet([Fixed()], [3], ["mask"]).get_condition_scales() == {"mask": 1}
    net.set_condition_scale("edge", 3.0)
    assert net.get_condition_scales() == {"mask": 1.0, "edge": 3.0}
    with pytest.raises(ValueError, match="no control branch 'egde'"):
        net.set_condition_scale("egde", 3.0)
