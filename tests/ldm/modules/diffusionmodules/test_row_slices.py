"""Maps in slices of rows against the same maps in one piece."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from ldm.modules.diffusionmodules import row_slices
from ldm.modules.diffusionmodules.model import Decoder, Downsample, Encoder, ResnetBlock
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
@pytest.mark.parametrize("rows", [1, 3, 5])
def test_blocks_in_slices_are_the_same(slices, channels, rows):
    """Of 11 rows, which no number of rows divides; statistics differ from row to row."""
    block = fill_parameters(ResnetBlock(32, channels)).eval()
    x = torch.randn(2, 32, 11, 5) * torch.linspace(0.1, 4, 11)[:, None] + 3
    with torch.no_grad():
        whole = block(x)
        kept = x.clone()
        heights = slices(2 * channels * 5 * rows)
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


@pytest.mark.parametrize("size", [(7, 6), (8, 5), (5, 4)])
@pytest.mark.parametrize("rows", [1, 2])
def test_halving_in_slices_is_the_same(slices, size, rows):
    layer = fill_parameters(Downsample(8)).eval()
    x = torch.randn(2, 8, *size)
    with torch.no_grad():
        whole = layer(x)
        slices(rows * 2 * x[:, :, 0].numel())
        assert row_slices.is_large(x)
        torch.testing.assert_close(layer(x), whole, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("size", [(3, 5), (9, 4), (6, 11)])
def test_pictures_in_slices_are_the_same(slices, size):
    encoder = fill_parameters(Encoder(3, 32, [1, 2, 2], 1, 4)).eval()
    decoder = fill_parameters(Decoder(3, 32, [1, 2, 2], 1, 4)).eval()
    z, picture = torch.randn(1, 4, *size), torch.randn(1, 3, *(4 * side for side in size))
    with torch.no_grad():
        whole = encoder(picture), decoder(z)
        heights = slices(1000)
        sliced = encoder(picture), decoder(z)
    assert min(heights) == 1 < max(heights)
    # Of the largest value, which the norms of random weights leave near 3
    torch.testing.assert_close(sliced, whole, atol=5e-5, rtol=0)


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors that operations have made and nobody has let go of.

    Attributes:
        most: the largest number so far.
    """

    def __init__(self):
        super().__init__()
        self.most, self._alive = 0, WeakIdKeyDictionary()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self._alive[tensor] = None
        storages = [tensor.untyped_storage() for tensor in self._alive]
        self.most = max(self.most, sum({s.data_ptr(): s.nbytes() for s in storages}.values()))
        return result


def test_two_maps_are_held_at_most(slices):
    """The largest map and what becomes of it; no matrix of all pairs of pixels."""
    encoder = fill_parameters(Encoder(3, 32, [1, 1], 1, 4)).eval()
    decoder = fill_parameters(Decoder(3, 32, [1, 1], 1, 4)).eval()
    largest = 4 * 32 * 64 * 64  # bytes of a map at the pictures' size
    slices(32 * 64)  # one row
    for network, x in (encoder, torch.randn(1, 3, 64, 64)), (decoder, torch.randn(1, 4, 32, 32)):
        with torch.no_grad(), Held() as held:
            network(x)
        assert 2 <= held.most / largest < 2.6  # slices and affine numbers come on top


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


def test_freed_memory_is_given_back_before_a_level_of_large_maps(slices, monkeypatch):
    calls = []
    monkeypatch.setattr(f"{Decoder.__module__}.give_back_freed_memory", lambda: calls.append(1))
    decoder = fill_parameters(Decoder(3, 32, [1, 1, 2], 1, 4)).eval()
    z = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        decoder(z)
        assert not calls
        slices(64 * 8 * 8)  # the first level's map is no larger, those of the next two are
        decoder(z)
    assert len(calls) == 2


def test_gradients_get_the_whole_map(slices):
    block = fill_parameters(ResnetBlock(32, 32))
    heights = slices(1)
    x = torch.randn(1, 32, 4, 4, requires_grad=True)
    block(x).sum().backward()
    assert heights == [] and x.grad.abs().max() > 0
    with torch.no_grad():
        assert row_slices.is_large(x) and not row_slices.is_large(x.to("meta"))
