"""MoCo v2: learns from images to a checkpoint that scores, and resumes exactly."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fid import compute_cem_fid
from fid.pretraining.common import read_config
from fid.pretraining.mocov2.train import CONFIG, MoCo, copy_name, main
from utils import run_status

TINY = (
    "epochs=2",
    "batch_size=2",
    "image_size=32",
    "moco_k=8",
    "workers=0",
    "schedule=[1]",
    "lr=0.01",
    "print_freq=1",
)


def options(em_folder, folder, *changes):
    return [
        "--data_path",
        str(em_folder),
        "--model_dir",
        str(folder),
        "--device",
        "cpu",
        "--set",
        *TINY,
        *changes,
    ]


@pytest.fixture(scope="module")
def trained(em_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("moco")
    main(options(em_folder, folder))
    return folder


@pytest.fixture
def model():
    settings = SimpleNamespace(**read_config(CONFIG, ["moco_k=8", "image_size=32", "moco_m=0.75"]))
    model = MoCo(settings).train()
    model._trainer = SimpleNamespace(world_size=1)
    model.logged = {}
    model.log_dict = lambda metrics, **kwargs: model.logged.update(metrics)
    return model


def test_checkpoint_has_the_published_names(trained, published_shapes):
    content = torch.load(trained / "current.pth.tar", weights_only=True)
    assert content.keys() == {"epoch", "arch", "state_dict", "optimizer", "norms"}
    published = published_shapes("keys_cem500k_mocov2.json") | {"module.queue": (128, 8)}
    assert {key: tuple(value.shape) for key, value in content["state_dict"].items()} == published
    assert (content["epoch"], content["arch"]) == (2, "resnet50") and content["norms"] == [
        0.57287007,
        0.12740536,
    ]


def test_checkpoint_scores(trained, image_folders):
    folders = [str(image_folders / name) for name in ("real", "generated")]
    fixed = (
        "--weights-path",
        str(trained / "current.pth.tar"),
        "--image-size",
        "32",
        "--num-workers",
        "0",
        "--no-cache",
        "--device",
        "cpu",
    )
    compute_cem_fid.main(
        [*folders, *fixed, "--output-json", str(image_folders / "r.json"), "--bootstrap", "0"]
    )


def test_run_status_knows_the_run(trained, capsys):
    assert run_status.main([str(trained)]) is None  # which makes the exit code 0: done
    line = next(line for line in capsys.readouterr().out.splitlines() if trained.name in line)
    assert "done" in line and "4 / 4 steps" in line


def test_resumed_run_is_the_uninterrupted_one(trained, em_folder, tmp_path):
    """With a worker, which reads ahead, too; what a killed process left goes."""
    main(options(em_folder, tmp_path / "half", "epochs=1"))
    (tmp_path / "half" / ".current.pth.x.tmp.tar").touch()
    main(
        [
            *options(em_folder, tmp_path / "half", "workers=1"),
            "--resume",
            str(tmp_path / "half/last.ckpt"),
        ]
    )
    assert not list((tmp_path / "half").glob(".*"))
    whole, resumed = (
        torch.load(folder / "current.pth.tar", weights_only=True)
        for folder in (trained, tmp_path / "half")
    )
    for key, value in whole["state_dict"].items():
        assert torch.equal(resumed["state_dict"][key], value), key
    assert (
        resumed["optimizer"]["param_groups"][0]["lr"]
        == whole["optimizer"]["param_groups"][0]["lr"]
        == pytest.approx(0.001)
    )


def test_precision(em_folder, tmp_path, trained):
    """Brain floats round: other weights, of type float32 still."""
    main([*options(em_folder, tmp_path / "bf16"), "--precision", "bf16"])
    whole, rounded = (
        torch.load(folder / "current.pth.tar", weights_only=True)["state_dict"]
        for folder in (trained, tmp_path / "bf16")
    )
    key = "module.encoder_q.conv1.weight"
    assert rounded[key].dtype == torch.float32 and not torch.equal(rounded[key], whole[key])


@pytest.mark.parametrize("mixed", (False, True))
def test_loss_is_that_of_a_positive_among_the_queue(model, mixed):
    """In mixed precision, too, cosines are compared in float32."""
    views = [torch.randn(3, 1, 32, 32) for _ in range(2)]
    queue = model.queue.bank.clone()
    keys = []
    model.encoder_k.register_forward_hook(
        lambda module, args, output: keys.append(F.normalize(output.float()))
    )
    queries = []
    model.encoder_q.register_forward_hook(
        lambda module, args, output: queries.append(F.normalize(output.float()))
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        loss = model.training_step(views, 0)
    key = keys[0]
    logits = torch.cat([(queries[0] * key).sum(1, keepdim=True), queries[0] @ queue.T], dim=1) / 0.2
    torch.testing.assert_close(loss, -F.log_softmax(logits, dim=1)[:, 0].mean())
    torch.testing.assert_close(
        model.queue.bank[:3], key
    )  # the batch is in the queue now, not before
    assert torch.equal(model.queue.bank[3:], queue[3:])
    assert model.logged["top1_prob"] == (logits.argmax(1) == 0).float().mean() * 100
    loss.backward()
    assert all(parameter.grad is None for parameter in model.encoder_k.parameters())


def test_residual_blocks_start_as_identities(model):
    """Or the network does not learn from few images."""
    norms = [module.bn3.weight for module in model.encoder_q.modules() if hasattr(module, "bn3")]
    assert len(norms) == 16 and not any(norm.any() for norm in norms)


def test_key_encoder_follows_by_momentum(model):
    with torch.no_grad():
        model.encoder_q.conv1.weight += 1
    before = model.encoder_k.conv1.weight.clone()
    model.keys(torch.randn(2, 1, 32, 32))
    torch.testing.assert_close(
        model.encoder_k.conv1.weight, 0.75 * before + 0.25 * model.encoder_q.conv1.weight
    )


def test_kept_copies():
    assert [copy_name(20)(epoch) for epoch in (0, 18, 19, 39)] == [
        None,
        None,
        "checkpoint_0020.pth.tar",
        "checkpoint_0040.pth.tar",
    ]


def test_bad_input(trained, em_folder, tmp_path, error_line):
    assert "exists already" in error_line(main, *options(em_folder, trained))
    assert "no multiple of batch_size" in error_line(
        main, *options(em_folder, tmp_path, "moco_k=7")
    )
    assert "fewer than a batch of 8" in error_line(
        main, *options(em_folder, tmp_path, "batch_size=8")
    )
    assert "MoCo v1" in error_line(main, *options(em_folder, tmp_path, "mlp=false"))
    assert "--resume /absent: no such file" in error_line(
        main, *options(em_folder, tmp_path), "--resume", "/absent"
    )
    assert "holds weights alone, expected the last.ckpt" in error_line(
        main, *options(em_folder, tmp_path), "--resume", trained / "current.pth.tar"
    )
    assert "no such folder" in error_line(main, *options(tmp_path / "absent", tmp_path))
    assert np.array_equal(list(tmp_path.glob("*.pth.tar")), [])
