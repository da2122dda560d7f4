"""Tests that only a GPU can pass: kernels, pinned memory, whole programs on CUDA."""

import numpy as np
import pytest
import torch

import generate
import train
from benchmarks.random_model import errors_against_cpu, random_batch
from cldm.options import SamplingOptions
from cldm.recorded import record_drawing, record_training
from cldm.sampling import sample_images
from core.hardware.compiling import compile_networks
from core.hardware.devices import float32_products, mixed_precision, to_device, to_host
from core.imaging.images import read_image
from core.samples import Sample, SampleKey, collate
from core.weights.torch_files import load_pickle
from ldm.modules.diffusionmodules.util import LayerNorm, group_norm
from tests.weights import fill_zero_layers

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = torch.device("cuda", 0)
TOLERANCE = 1e-3  # of the largest value, in float32
HINTS = [torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))]
FEW = SamplingOptions(sampler="dpmpp", steps=4, scale=2.0, joint=True)


@pytest.fixture
def on_gpu(tiny_cldm):
    """The tiny model on the GPU."""
    return tiny_cldm.to(CUDA)


def pictures(model, precision="32"):
    with mixed_precision(model.device.type, precision):
        return sample_images(model, HINTS, ["a cell"] * 3, [1, 2, 3], FEW).astype(int)


def difference(a, b):
    return float((a - b).abs().max() / b.abs().max())


def test_prediction_picture_and_gradient_agree_with_the_cpu(on_gpu):
    fill_zero_layers(on_gpu.cpu(), std=0.05)
    errors = errors_against_cpu(on_gpu.to(CUDA), 64, CUDA)
    assert all(error <= TOLERANCE for error in errors.values()), errors


def test_float32_is_exact_and_tf32_is_not():
    if torch.cuda.get_device_capability()[0] < 8:
        pytest.skip("TF32 began with NVIDIA's Ampere")
    image, kernel = torch.randn(1, 64, 32, 32), torch.randn(64, 64, 3, 3)
    a, b = torch.randn(2, 512, 512)
    for work, inputs in ((torch.matmul, (a, b)), (torch.conv2d, (image, kernel))):
        expected = work(*(value.double() for value in inputs))
        errors = {}
        for precision in ("32", "tf32"):
            with float32_products(precision):
                found = work(*(value.to(CUDA) for value in inputs))
            errors[precision] = difference(found.cpu().double(), expected)
        assert errors["32"] < 1e-5 < errors["tf32"] < 1e-2, (work, errors)


# Mean difference in grey levels: 11 bits of float16 and TF32, 8 of bf16
@pytest.mark.parametrize(
    ("precision", "levels"), [("32", 0.1), ("tf32", 2), ("16", 2), ("bf16", 6)]
)
def test_pictures_are_those_of_the_cpu(on_gpu, precision, levels):
    expected = pictures(on_gpu.to("cpu"))
    assert np.abs(pictures(on_gpu.to(CUDA), precision) - expected).mean() < levels


def test_norms_stay_in_16_bits():
    for norm, shape in ((group_norm(64), (2, 64, 8, 8)), (LayerNorm(64), (2, 16, 64))):
        x = torch.randn(shape, device=CUDA)
        with mixed_precision("cuda", "bf16"):
            assert norm.to(CUDA)(x.bfloat16()).dtype == torch.bfloat16
            assert norm(x).dtype == torch.float32


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_recorded_pictures_are_the_same_to_the_byte(on_gpu, precision):
    expected = pictures(on_gpu, precision)
    record_drawing(on_gpu)
    assert np.array_equal(pictures(on_gpu, precision), expected)
    assert on_gpu.apply_model.recorded  # four steps of the same form: the second is recorded
    assert np.array_equal(pictures(on_gpu, precision), expected)


@pytest.mark.parametrize("precision", ["32", "bf16", "16"])
@pytest.mark.parametrize("locked", [True, False])
def test_recorded_steps_have_the_same_losses_and_gradients(on_gpu, precision, locked):
    fill_zero_layers(on_gpu, std=0.05)
    on_gpu.sd_locked = locked
    on_gpu.train().freeze_the_rest()
    inputs = [random_batch(on_gpu, 2, 64, CUDA) for _ in range(4)]

    def steps():
        for batch in inputs:
            with mixed_precision("cuda", precision):
                loss = on_gpu.sample_losses(*batch).mean()
            loss.backward()
            trained = on_gpu.trainable_parameters()
            yield loss.item(), [p.grad.clone() for p in trained]
            for parameter in trained:
                parameter.grad = None

    expected = list(steps())
    record_training(on_gpu)
    found = list(steps())
    assert on_gpu.apply_model.recorded
    for (loss, grads), (other_loss, others) in zip(found, expected, strict=True):
        assert loss == pytest.approx(other_loss, rel=1e-6)
        for grad, other in zip(grads, others, strict=True):
            # Some backward kernels add up in no fixed order.
            assert difference(grad, other) <= TOLERANCE or grad.abs().max() < 1e-7


def test_a_recorded_training_ends_with_the_weights_of_one_that_is_not(
    micro_yaml, micro_weights, pairs, tmp_path
):
    """With averages, validation and a last batch that is smaller."""
    words = f"--image_path {pairs}/images --mask_path {pairs}/masks --gpus 1 --batch_size 4"
    words += f" --val_image_path {pairs}/images --val_mask_path {pairs}/masks --ema_decay 0.9"
    words += f" --cldm_config_path {micro_yaml} --resume_path {micro_weights} --logger csv"
    words += f" --output_root {tmp_path} --max_steps 8 --validate_every 3 --learning_rate 1e-3"
    for graphs in ("true", "false"):
        train.main([*words.split(), "--run_id", graphs, "--cuda_graphs", graphs])
    found, expected = (
        load_pickle(tmp_path / name / "last.ckpt", "cpu")["state_dict"]
        for name in ("true", "false")
    )
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-2, atol=1e-5), name


@torch.no_grad()
def test_a_decoder_that_overflows_in_float16_draws(on_gpu):
    on_gpu.first_stage_model.decoder.conv_in.weight.mul_(1e6)
    with mixed_precision("cuda", "16"):
        assert on_gpu.decode_first_stage(torch.randn(1, 4, 8, 8, device=CUDA)).isfinite().all()


def test_copies_go_through_pinned_memory():
    there = to_device(torch.arange(6.0), CUDA)
    (back,) = to_host([there])
    assert there.is_cuda and back.is_pinned() and back.tolist() == [0, 1, 2, 3, 4, 5]
    sample = Sample(SampleKey(0, 0), torch.rand(8, 8, 3), "a cell", torch.rand(8, 8, 3))
    batch = collate([sample]).pin_memory()
    assert batch.images.is_pinned() and batch.hints[0].is_pinned() and batch.weights.is_pinned()


@pytest.mark.parametrize("options", ["--precision 32", "--precision bf16 --compile"])
def test_a_run_is_generated_and_resumed(options, micro_yaml, micro_weights, pairs, tmp_path):
    words = f"--config_yaml_path {micro_yaml} --model_weights_path {micro_weights} --device cuda"
    words += f" --output_base_dir {tmp_path} --run_id a --mask_dir {pairs / 'masks'} --seed 1"
    words += f" --ddim_steps 2 --batch_size_per_inference 2 {options}"
    generate.main(words.split())
    folder = tmp_path / "run_a"
    images = sorted((folder / "images").iterdir())
    assert len(images) == 6
    before = [read_image(path) for path in images]
    for path in images[:2]:  # a whole batch: its size decides the last bits on a GPU
        path.unlink()
    generate.main(["--resume_run", str(folder)])
    after = [read_image(path) for path in images]
    assert all(np.abs(a - b).max() < 2 / 255 for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("options", ["--precision tf32", "--precision bf16 --compile"])
def test_a_training_goes_on(options, micro_yaml, micro_weights, pairs, tmp_path):
    words = f"--image_path {pairs}/images --mask_path {pairs}/masks --gpus 1 --batch_size 2"
    words += f" --cldm_config_path {micro_yaml} --resume_path {micro_weights} --logger csv"
    words += f" --output_root {tmp_path} --run_id a {options}"
    train.main([*words.split(), "--max_steps", "2"])
    train.main(["--resume_training", str(tmp_path / "a"), "--max_steps", "4"])
    checkpoint = load_pickle(tmp_path / "a" / "last.ckpt", "cpu")
    assert checkpoint["global_step"] == 4
    state = checkpoint["state_dict"]
    assert all(v.isfinite().all() for v in state.values() if v.is_floating_point())


@torch.no_grad()
def test_compiled_networks_predict_the_same(on_gpu):
    def predict(batch):
        generator = torch.Generator().manual_seed(batch)
        x = torch.randn(batch, 4, 8, 8, generator=generator).to(CUDA)
        context = torch.randn(batch, 77, 32, generator=generator).to(CUDA)
        hint = torch.rand(batch, 3, 64, 64, generator=generator).to(CUDA)
        t = torch.full((batch,), 500, device=CUDA)
        cond = {"c_crossattn": [context], "c_concat": [hint]}
        return on_gpu.apply_model(x, t, cond), on_gpu.decode_first_stage(x)

    with float32_products("32"):
        expected = {batch: predict(batch) for batch in (2, 4, 6)}
        decoder = on_gpu.first_stage_model.decoder
        compile_networks([on_gpu.model.diffusion_model, on_gpu.control_model, decoder])
        for batch, values in expected.items():  # the third size uses the kernels of the second
            for found, value in zip(predict(batch), values, strict=True):
                assert difference(found, value) <= TOLERANCE
