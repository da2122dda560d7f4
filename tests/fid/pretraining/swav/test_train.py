"""SwAV: learns from images to a checkpoint that loads, and resumes exactly."""

import pytest
import torch

from fid.backbones.loading import load_backbone
from fid.backbones.options import BackboneOptions
from fid.pretraining.files import EpochFiles
from fid.pretraining.swav.train import main

TINY = (
    "epochs=2 batch_size=2 nmb_prototypes=6 queue_length=4 epoch_queue_starts=0 workers=0 "
    "freeze_prototypes_niters=1 print_freq=1"
).split() + ["size_crops=[32, 24]", "nmb_crops=[2, 1]"]


def options(em_folder, folder, *changes):
    files = ["--data_path", str(em_folder), "--model_dir", str(folder)]
    return [*files, "--device", "cpu", "--set", *TINY, *changes]


@pytest.fixture(scope="module")
def trained(em_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swav")
    main(options(em_folder, folder))
    return folder


def test_checkpoint_has_the_published_names_and_loads(trained, published_shapes):
    content = torch.load(trained / "checkpoint.pth.tar", weights_only=True)
    published = published_shapes("keys_cem15m_swav.json") | {"module.prototypes.weight": (6, 128)}
    assert {key: tuple(value.shape) for key, value in content["state_dict"].items()} == published
    backbone = load_backbone(
        BackboneOptions("cem1.5m", trained / "checkpoint.pth.tar", device="cpu")
    )
    assert torch.equal(backbone.network.conv1.weight, content["state_dict"]["module.conv1.weight"])
    assert backbone.preprocessing.mean == (0.57571,)
    assert (trained / "ckp-0.pth").exists() and (trained / "ckp-1.pth").exists()


def test_resumed_run_is_the_uninterrupted_one(trained, em_folder, tmp_path):
    """The first half was cut off: the learning rate follows the length of the whole run."""

    class CutOff(EpochFiles):
        def on_train_epoch_end(self, trainer, pl_module):
            super().on_train_epoch_end(trainer, pl_module)
            trainer.should_stop = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fid.pretraining.files.EpochFiles", CutOff)
        main(options(em_folder, tmp_path))
    assert torch.load(tmp_path / "checkpoint.pth.tar", weights_only=True)["epoch"] == 1
    main([*options(em_folder, tmp_path, "workers=1"), "--resume", str(tmp_path / "last.ckpt")])
    whole, resumed = (
        torch.load(folder / "checkpoint.pth.tar", weights_only=True)["state_dict"]
        for folder in (trained, tmp_path)
    )
    for key, value in whole.items():
        assert torch.equal(resumed[key], value), key
