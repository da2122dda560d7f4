"""Maps in slices of rows against the same maps in one piece."""

import pytest
import torch

from ldm.modules.diffusionmodules import row_slices
from ldm.modules.diffusionmodules.model import Decoder, ResnetBlock
from ldm.modules.diffusionmodules.util import Upsample
from tests.weights import fill_parameters


@pytest.fixture
def slices(monkeypatch):
    """Function that sets the size of slices in numbers and returns a list of their heights."""

    def set_size(numbers):
        heights, real = [], row_slices._one_neighbour

        def noted(*slice_of_rows):
            part = real(*slice_of_rows)
            heights.append(part.shape[2] - 2)
            return part

        monkeypatch.setattr(row_slices, "SLICE", numbers)
        monkeypatch.setattr(row_slices, "_one_neighbour", noted)
        return heights

    return set_size


@pytest.mark.parametrize("channels", [32, 64])
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_blocks_in_slices_are_the_same(slices, channels, rows):
    """Of 11 rows, which no number of rows divides; statistics differ from row to row."""
    block = fill_parameters(ResnetBlock(32, channels)).eval()
    x = torch.randn(2, 32, 11, 5) * torch.linspace(0.1, 4, 11)[:, None] + 3
    with torch.no_grad():
        whole = block(x)
        kept = x.clone()
        heights = slices(2 * 32 * 5 * rows)
        sliced = block(x)
    assert rows in heights and sum(heights) == 2 * 11  # of two convolutions
    torch.testing.assert_close(sliced, whole, atol=2e-5, rtol=2e-5)
    assert torch.equal(x, kept)  # the block's own input is not written to


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_upsampling_in_slices_is_the_same(slices, rows):
    upsample = fill_parameters(Upsample(8)).eval()
    x = torch.randn(1, 8, 7, 6)
    with torch.no_grad():
        whole = upsample(x)
        heights = slices(8 * 6 * 4 * rows)
        torch.testing.assert_close(upsample(x), whole, atol=1e-6, rtol=1e-6)
    assert max(heights) == 2 * rows and sum(heights) == 14


@pytest.mark.parametrize("half", [False, True])
def test_a_decoder_in_slices_draws_the_same(slices, half):
    decoder = fill_parameters(Decoder(3, 32, [1, 2], 1, 4)).eval()
    z = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        exact = decoder(z)
        slices(1000)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            sliced = decoder(z)
    # bf16 keeps 8 bits of each number, over ten layers
    torch.testing.assert_close(sliced.float(), exact, atol=0.1 if half else 2e-5, rtol=1e-4)


def test_gradients_get_the_whole_map(slices):
    block = fill_parameters(ResnetBlock(32, 32))
    heights = slices(1)
    x = torch.randn(1, 32, 4, 4, requires_grad=True)
    block(x).sum().backward()
    assert heights == [] and x.grad.abs().max() > 0
    with torch.no_grad():
        assert row_slices.is_large(x) and not row_slices.is_large(x.to("meta"))
