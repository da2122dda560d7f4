"""MoCo v2: learns from images to a checkpoint that scores, and resumes exactly."""

import shutil
from contextlib import closing

import numpy as np
import pytest
import torch

from core.notices import Notice
from core.recording.run_lock import RunLock
from fid import compute_cem_fid
from fid.pretraining.mocov2.train import main
from utils import run_status

TINY = (
    "epochs=2 batch_size=2 image_size=32 moco_k=8 workers=0 schedule=[1] lr=0.01 print_freq=1"
).split()


def options(em_folder, folder, *changes):
    files = ["--data_path", str(em_folder), "--model_dir", str(folder)]
    return [*files, "--device", "cpu", "--set", *TINY, *changes]


@pytest.fixture(scope="module")
def trained(em_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("moco")
    main(options(em_folder, folder))
    return folder


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
    fixed = "--image-size 32 --num-workers 0 --no-cache --device cpu --bootstrap 0".split()
    files = "--weights-path", trained / "current.pth.tar", "--output-json", image_folders / "r.json"
    compute_cem_fid.main([*folders, *fixed, *map(str, files)])


def test_run_status_knows_the_run(trained, capsys):
    assert run_status.main([str(trained)]) is None  # which makes the exit code 0: done
    line = next(line for line in capsys.readouterr().out.splitlines() if trained.name in line)
    assert "done" in line and "4 / 4 steps" in line


def test_resumed_run_is_the_uninterrupted_one(trained, em_folder, tmp_path):
    """With a worker, which reads ahead, too; what a killed process left goes."""
    main(options(em_folder, tmp_path / "half", "epochs=1"))
    (tmp_path / "half" / ".current.pth.x.tmp.tar").touch()
    last = tmp_path / "half/last.ckpt"
    main([*options(em_folder, tmp_path / "half", "workers=1"), "--resume", str(last)])
    assert not list((tmp_path / "half").glob(".*.tmp*"))
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


def test_precision(em_folder, tmp_path, trained, monkeypatch):
    """Brain floats round: other weights, of type float32 still; a notice where they are slow."""
    monkeypatch.setattr("core.hardware.bf16.bf16_time_on_cpu", lambda: 3.0)
    with pytest.warns(Notice, match="bf16: a product takes 3.0 times as long"):
        main([*options(em_folder, tmp_path / "bf16"), "--precision", "bf16"])
    whole, rounded = (
        torch.load(folder / "current.pth.tar", weights_only=True)["state_dict"]
        for folder in (trained, tmp_path / "bf16")
    )
    key = "module.encoder_q.conv1.weight"
    assert rounded[key].dtype == torch.float32 and not torch.equal(rounded[key], whole[key])


def test_a_damaged_checkpoint_is_replaced_and_a_dry_run_replaces_nothing(
    trained, em_folder, tmp_path, error_line
):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    shutil.copy(folder / "last.ckpt", folder / "last_previous.ckpt")
    (folder / "last.ckpt").write_bytes(b"damaged")
    resume = [*options(em_folder, folder, "epochs=3"), "--resume", str(folder / "last.ckpt")]
    assert "last.ckpt: cannot be read" in error_line(main, *resume, "--dry_run")
    assert (folder / "last.ckpt").read_bytes() == b"damaged"
    with pytest.warns(Notice, match="Going on from the one before"):
        main(resume)
    assert (folder / "last_damaged.ckpt").read_bytes() == b"damaged"


def test_bad_input(trained, em_folder, tmp_path, error_line):
    assert "exists already" in error_line(main, *options(em_folder, trained))
    assert "no multiple of batch_size" in error_line(
        main, *options(em_folder, tmp_path, "moco_k=7")
    )
    assert "fewer than a batch of 8" in error_line(
        main, *options(em_folder, tmp_path, "batch_size=8")
    )
    assert "MoCo v1" in error_line(main, *options(em_folder, tmp_path, "mlp=false"))
    assert "--resume: /absent: no such file" in error_line(
        main, *options(em_folder, tmp_path), "--resume", "/absent"
    )
    assert "holds weights alone, expected the last.ckpt" in error_line(
        main, *options(em_folder, tmp_path), "--resume", trained / "current.pth.tar"
    )
    assert "no such folder" in error_line(main, *options(tmp_path / "absent", tmp_path))
    lock = RunLock(tmp_path, "training")
    with closing(lock):
        lock.acquire()
        assert "is training here" in error_line(main, *options(em_folder, tmp_path))
    assert np.array_equal(list(tmp_path.glob("*.pth.tar")), [])
