"""The FID of validation images during training, with the micro model and a small checkpoint."""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import train
from core.weights.torch_files import load_pickle
from fid.backbones.loading import load_backbone
from fid.backbones.options import BackboneOptions
from fid.distances import frechet_distance, kid, statistics_of
from fid.validation import ValidationFid


@pytest.fixture
def options(micro_yaml, micro_weights, pairs):
    """Function from a folder to the command line of a training with validation pairs."""

    def words(folder, *more):
        images, masks = pairs / "images", pairs / "masks"
        data = "--image_path", images, "--mask_path", masks
        data += "--val_image_path", images, "--val_mask_path", masks
        model = "--cldm_config_path", micro_yaml, "--resume_path", micro_weights
        run = "--gpus 0 --learning_rate 1e-3 --log_every 1 --logger csv --max_epochs 2".split()
        run += "--batch_size", 3, "--output_root", folder
        return [str(word) for word in (*data, *model, *run, *more)]

    return words


@pytest.fixture
def val_fid(cem_weights):
    fid = "--enable_val_fid --fid_image_size 32 --fid_ddim_steps 1 --fid_guidance_scale 1".split()
    return [*fid, "--fid_weights_path", str(cem_weights)]


def load_small_backbone(weights):
    return load_backbone(BackboneOptions("cem500k", weights, image_size=32, device="cpu"))


def only_run(folder):
    (run,) = folder.iterdir()
    return run


def losses(run):
    with open(run / "csv" / "version_0" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: [row[name] for row in rows if row.get(name)]
        for name in ("train/loss_step", "val/loss", "val/cem_fid", "val/cem_kid")
    }


def levels():
    """Five samples: noise, and the grey level that is drawn for it."""
    rng = np.random.default_rng(0)
    return [
        SimpleNamespace(
            image=torch.from_numpy(rng.random((40, 40, 3), dtype=np.float32) * 2 - 1), level=30 * i
        )
        for i in range(5)
    ]


def to_pixels(sample):
    return sample.image.numpy() / 2 + 0.5  # (h, w, 3)


def drawn(samples):
    return np.stack([np.full((40, 40, 3), sample.level, np.uint8) for sample in samples])


def test_published_defaults():
    values = train.parse_args(["--image_path", "a", "--mask_path", "b"]).values
    published = {
        "enable_val_fid": False,
        "fid_batch_size": 2,
        "fid_num_workers": 0,
        "fid_ddim_steps": 50,
        "fid_guidance_scale": 9.0,
        "fid_eta": 0.0,
        "fid_control_strength": 1.0,
        "fid_backbone": "cem500k",
        "fid_image_size": 512,
        "fid_device": "cuda",
        "fid_seed": 1234,
        "fid_download_dir": None,
        "fid_weights_path": None,
    }
    assert published.items() <= values.items()


def test_training_is_the_same_with_and_without(options, val_fid, tmp_path):
    train.main(options(tmp_path / "without"))
    train.main(options(tmp_path / "with", *val_fid, "--monitor", "val/cem_fid"))
    without, scored = (losses(only_run(tmp_path / name)) for name in ("without", "with"))
    assert (
        without["train/loss_step"] == scored["train/loss_step"]
        and without["val/loss"] == scored["val/loss"]
    )
    assert not without["val/cem_fid"]
    assert len(scored["val/cem_fid"]) == len(scored["val/cem_kid"]) == 2
    run = only_run(tmp_path / "with")
    pictures = sorted(str(p.relative_to(run)) for p in (run / "val_generations").rglob("*.png"))
    assert pictures[0] == "val_generations/epoch_0000/000000.png"
    assert pictures[-1] == "val_generations/epoch_0001/000005.png" and len(pictures) == 12
    assert (
        "optimizer_states" not in load_pickle(run / "EM_best_fid.ckpt", "cpu")
        and (run / "EM_best_results.ckpt").exists()
    )
    assert not any(
        "backbone" in name for name in load_pickle(run / "last.ckpt", "cpu")["state_dict"]
    )


def test_scores_do_not_depend_on_batches(cem_weights):
    """Samples hold the picture that is drawn of them."""
    backbone = load_small_backbone(cem_weights)
    dataset = levels()
    seen = []

    def draw(model, samples, seeds):
        seen.append(seeds)
        return drawn(samples)

    class Trainer:
        global_rank, world_size, is_global_zero = 0, 1, True

    model = torch.nn.Module()
    model.device = torch.device("cpu")
    logged = []
    for batch_size in (2, 5):
        callback = ValidationFid(dataset, backbone, draw, batch_size, 0, seed=1)
        callback.log_dict = logged.append
        state = torch.random.get_rng_state()
        callback.on_validation_epoch_end(Trainer, model)
        callback.on_validation_epoch_end(Trainer, model)  # real features are there already
        assert torch.equal(torch.random.get_rng_state(), state)
    assert [len(some) for some in seen] == [2, 2, 1, 2, 2, 1, 5, 5]
    assert sum(seen[:3], []) == sum(seen[3:6], []) == seen[6] and len(set(seen[6])) == 5
    prepare = backbone.preprocessing
    real = backbone.features(torch.stack([prepare(to_pixels(sample)) for sample in dataset]))
    generated = backbone.features(
        torch.stack([prepare(np.full((40, 40, 3), 30 * i, np.uint8)) for i in range(5)])
    )
    expected = frechet_distance(statistics_of(real), statistics_of(generated))
    for scores in logged:
        assert scores["val/cem_fid"] == pytest.approx(expected, rel=1e-5)


def score_share(rank, folder, weights):
    """What one of two processes does; its scores go to `folder`."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    logged = []
    callback = ValidationFid(
        levels(),
        load_small_backbone(weights),
        lambda model, samples, seeds: drawn(samples),
        2,
        0,
        seed=1,
    )
    callback.log_dict = logged.append
    model = torch.nn.Module()
    model.device = torch.device("cpu")
    trainer = SimpleNamespace(global_rank=rank, world_size=2, is_global_zero=rank == 0)
    callback.on_validation_epoch_end(trainer, model)
    callback.on_validation_epoch_end(trainer, model)
    (folder / f"{rank}.json").write_text(
        json.dumps([logged, [len(callback.real), callback.real.tolist()[0][:3]]])
    )
    torch.distributed.destroy_process_group()


def test_two_processes_score_what_one_does(cem_weights, tmp_path):
    environment = os.environ | {
        "PYTHONPATH": str(Path(train.__file__).parent),
        "OMP_NUM_THREADS": "1",
    }
    shares = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), tmp_path, cem_weights], env=environment
        )
        for rank in range(2)
    ]
    assert [share.wait(120) for share in shares] == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second and first[1][0] == 5
    backbone = load_small_backbone(cem_weights)
    real, generated = [], []
    for sample in levels():
        real.append(backbone.preprocessing(to_pixels(sample)))
        generated.append(backbone.preprocessing(drawn([sample])[0]))
    real, generated = (
        statistics_of(backbone.features(torch.stack(some))) for some in (real, generated)
    )
    for scores in first[0]:
        assert scores["val/cem_fid"] == pytest.approx(frechet_distance(real, generated), rel=1e-5)
        assert scores["val/cem_kid"] == pytest.approx(
            kid(real.features, generated.features).value, rel=1e-4
        )


def test_pictures_that_are_not_finite_leave_the_training_alone(options, val_fid, tmp_path):
    words = [*val_fid, "--fid_guidance_scale", "1e38", "--monitor", "val/cem_fid"]
    with pytest.warns(UserWarning, match="no FID, because images have values that are NaN"):
        train.main(options(tmp_path / "runs", *words))
    assert all(
        math.isnan(float(score)) for score in losses(only_run(tmp_path / "runs"))["val/cem_fid"]
    )
    assert len(losses(only_run(tmp_path / "runs"))["val/loss"]) == 2


def test_bad_options(options, val_fid, tmp_path, error_line):
    without_data = ["--image_path", "a", "--mask_path", "b"]
    assert "--enable_val_fid needs --val_image_path" in error_line(
        train.main, *without_data, "--enable_val_fid"
    )
    assert "needs --enable_val_fid" in error_line(
        train.main, *options(tmp_path), "--monitor", "val/cem_fid"
    )
    assert "--fid_weights_path /absent: no such file" in error_line(
        train.main, *options(tmp_path, *val_fid), "--fid_weights_path", "/absent"
    )


if __name__ == "__main__":
    score_share(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
