"""Settings of both pre-trainings: published values, changes to them, and what is refused."""

from pathlib import Path

import pytest

from fid.pretraining.mocov2 import settings as moco
from fid.pretraining.mocov2.settings import MocoSettings
from fid.pretraining.settings import find_config, read_settings
from fid.pretraining.swav import settings as swav
from fid.pretraining.swav.settings import SwavSettings

MOCO_FILE, SWAV_FILE = moco.CONFIG.read_text(), swav.CONFIG.read_text()


def test_published_values():
    settings = vars(read_settings(MocoSettings, moco.CONFIG))
    published = {
        "epochs": 200,
        "batch_size": 128,
        "lr": 0.015,
        "schedule": [120, 160],
        "moco_k": 65536,
        "moco_m": 0.999,
        "moco_t": 0.2,
        "weight_decay": 1e-4,
    }
    assert published.items() <= settings.items()
    settings = vars(read_settings(SwavSettings, swav.CONFIG))
    published = {
        "base_lr": 0.6,
        "final_lr": 0.0006,
        "wd": 1e-6,
        "nmb_prototypes": 3000,
        "queue_length": 3840,
        "freeze_prototypes_niters": 5005,
    }
    assert published.items() <= settings.items()


def test_published_files_are_read(tmp_path):
    """Names of the same thing differ in them, and they configure a launcher that is not used."""
    launcher = "\nworld_size: 1\ndist_url: tcp://localhost:10001\nseed: 1447\n"
    lines = MOCO_FILE.replace("data_path:", "data_file:") + launcher
    lines = lines.replace("norms: [0.57287007, 0.12740536]", "norms: {mean: 0.57, std: 0.12}")
    lines = "".join(line for line in lines.splitlines(True) if not line.startswith("image_size"))
    (tmp_path / "c.yaml").write_text(lines)
    settings = read_settings(MocoSettings, tmp_path / "c.yaml")
    assert settings.data_path == Path("cem_dataset") and not hasattr(settings, "world_size")
    assert settings.resume is None and settings.norms == [0.57, 0.12]
    assert settings.image_size == 224


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("a: [", [], "c.yaml: .*not a YAML file"),
        ("- a", [], "c.yaml: expected one `key: value` per line"),
        ("arch: resnet50", ["learning=1"], "--set learning: not a key of this recipe"),
        ("arch: resnet50", [], "c.yaml: experiment_name is missing"),
        (MOCO_FILE + "\nlearning: 1", [], "c.yaml: learning: not a key of this recipe"),
        (MOCO_FILE, ["arch=resnet18"], "c.yaml: arch is resnet18, expected resnet50"),
        (MOCO_FILE, ["lr=fast"], "--set lr: Value 'fast' .* could not be converted to Float"),
        (MOCO_FILE, ["batch_size=0.5"], "--set batch_size: .*Integer"),
        (MOCO_FILE, ["schedule=120"], "--set schedule: "),
        (MOCO_FILE, ["lr"], "--set lr: expected key=value"),
        (MOCO_FILE, ["lr=["], "--set lr=.: the value is no YAML"),
        (MOCO_FILE, ["data_path=${oc.env:HOME}"], "--set data_path.*: .*calls the resolver oc.env"),
        (MOCO_FILE, ["data_path=${nowhere}"], "--set data_path.*: .*nowhere"),
        (MOCO_FILE.replace("epochs: 200", "epochs: many"), [], "c.yaml: epochs: Value 'many'"),
        (MOCO_FILE, ["norms=[0.5, 0]"], r"c.yaml: norms is \[0.5, 0.0\], expected mean"),
        (MOCO_FILE, ["moco_k=7"], "c.yaml: moco_k 7 is no multiple of batch_size 128"),
        (MOCO_FILE, ["mlp=false"], "c.yaml: mlp is false, which is MoCo v1"),
    ],
)
def test_bad_configurations(tmp_path, text, changes, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_settings(MocoSettings, path, changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("size_crops=[32]", "nmb_crops, size_crops, .*: expected one number for each kind"),
        ("crops_for_assign=[0, 8]", r"crops_for_assign is \[0, 8\], expected indices below 8"),
    ],
)
def test_crops_that_do_not_go_together(change, message):
    with pytest.raises(ValueError, match=message):
        read_settings(SwavSettings, swav.CONFIG, [change])


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.yaml: no such configuration file"):
        read_settings(MocoSettings, tmp_path / "absent.yaml")


def test_changes_are_values_not_texts():
    changes = ["lr=5e-1", "schedule=[3, 4]", "cos=true", "epochs=7", "data_path=my images"]
    settings = read_settings(MocoSettings, moco.CONFIG, changes)
    assert (settings.lr, settings.schedule, settings.cos) == (0.5, [3, 4], True)
    assert (settings.epochs, settings.data_path) == (7, Path("my images"))


def test_a_bare_name_is_looked_for_here_then_beside_the_script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, beside = Path("mocov2_config.yaml"), moco.CONFIG.parent
    assert find_config(name, beside).resolve() == moco.CONFIG
    assert find_config(Path("swav_config.yaml"), swav.CONFIG.parent).resolve() == swav.CONFIG
    assert find_config("mocov2" / name, beside) == "mocov2" / name  # a path is meant as it stands
    name.touch()
    assert find_config(name, beside) == name


@pytest.mark.parametrize("script", ["mocov2/train_mocov2.py", "swav/train_swav.py"])
def test_published_scripts_are_other_names_of_ours(script):
    path = moco.CONFIG.parents[1] / script
    assert path.is_symlink() and path.resolve() == path.with_name("train.py").resolve()
