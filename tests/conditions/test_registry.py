"""The registry: every condition has a name of its own and works from file to stored picture."""

import numpy as np
import pytest
import torch

from conditions import CONDITIONS, Condition, ConditionOptions, create_condition
from conditions.pairs import check_pairs
from conditions.segmentation import one_hot
from core.samples import SampleKey, collate
from dataset import MyDataset
from tests.picture_files import blocks, write

SHAPE = (48, 60)  # (height, width)
LABELS = blocks(SHAPE)
GREY = (np.arange(48 * 60).reshape(SHAPE) % 256).astype(np.uint8)
FILES = {  # a valid file of each condition: suffix and pixels
    "segmentation": (".png", LABELS),
    "edge": (".png", GREY),
    "rgba": (".png", (np.dstack([one_hot(LABELS, 3), GREY > 200]) * 255).astype(np.uint8)),
    "depth": (".tif", GREY.astype(np.uint16) * 257),
    "normal": (".png", np.stack([GREY, GREY.T.reshape(SHAPE), 255 - GREY], axis=2)),
}
every_condition = pytest.mark.parametrize("name", CONDITIONS)


def subclasses(kind):
    """All classes below `kind`."""
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


@pytest.fixture
def folders(tmp_path, name):
    """Folders of three images and of three files of the condition."""
    suffix, pixels = FILES[name]
    for i in range(3):
        write(tmp_path / "images" / f"{i}.png", GREY)
        write(tmp_path / "conditions" / f"{i}{suffix}", pixels)
    return tmp_path / "images", tmp_path / "conditions"


def test_every_named_class_is_registered_under_a_name_of_its_own():
    kinds = [kind for kind in subclasses(Condition) if kind.__module__.startswith("conditions.")]
    named = [kind for kind in kinds if "name" in vars(kind)]
    names = [kind.name for kind in named]
    assert len(set(names)) == len(names)
    assert CONDITIONS == {kind.name: kind for kind in named}


def test_every_condition_is_tested_here():
    assert FILES.keys() == CONDITIONS.keys()


@every_condition
def test_every_condition_says_what_it_is(name):
    kind = CONDITIONS[name]
    assert "__doc__" in vars(kind)
    assert kind.__doc__.split("\n")[0].endswith(".")
    assert name == name.lower()
    assert name.isidentifier()  # as an option: --NAME_path
    assert all(suffix.startswith(".") and suffix.islower() for suffix in kind.suffixes)


@every_condition
def test_a_condition_is_created_by_its_name(name):
    condition = create_condition(name)
    assert type(condition) is CONDITIONS[name]
    assert condition.options == ConditionOptions()
    two = ConditionOptions(num_classes=2)
    assert create_condition(name, two).options is two


def test_unknown_names_are_refused():
    expected = "condition type 'heat', expected one of segmentation, edge, rgba, depth, normal"
    with pytest.raises(ValueError, match=expected):
        create_condition("heat")


def test_only_rgba_lists_npz(tmp_path):
    for file in ("a_2.npz", "a_2.png", "a_10.png", "a_1.png"):
        (tmp_path / file).touch()
    for name in CONDITIONS:
        files = [path.name for path in create_condition(name).list_files(tmp_path)]
        second = "a_2.npz" if name == "rgba" else "a_2.png"
        assert files == ["a_1.png", second, "a_10.png"]


@every_condition
def test_a_file_becomes_a_hint(name, folders):
    condition = create_condition(name)
    path = condition.list_files(folders[1])[0]
    layers, hint = condition.read(path), condition.read_hint(path)
    assert condition.check(path) == SHAPE
    assert layers.smooth.dtype == layers.classes.dtype == np.float32
    assert layers.smooth.shape[:2] == layers.classes.shape[:2] == SHAPE
    assert layers.smooth.shape[2] + layers.classes.shape[2] > 0
    assert hint.dtype == np.float32
    assert hint.shape == (*SHAPE, condition.hint_channels)
    assert np.array_equal(hint, condition.to_hint(layers))
    assert 0 <= hint.min() < hint.max() <= 1


@every_condition
def test_files_that_are_missing_or_damaged_are_named(name, folders):
    condition = create_condition(name)
    path = condition.list_files(folders[1])[0]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=path.name):
        condition.read(path)
    with pytest.raises(ValueError, match=path.name):
        condition.check(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        condition.read(path)


@every_condition
def test_a_hint_becomes_pictures(name, folders):
    condition = create_condition(name)
    hint = condition.read_hint(condition.list_files(folders[1])[0])
    label_folders, pictures = condition.label_folders("branch"), condition.pictures("branch", hint)
    labels, preview = condition.labels(hint), condition.preview(hint)
    assert tuple(pictures) == condition.folders("branch")
    assert bool(label_folders) == condition.carries_labels
    assert set(label_folders) <= set(pictures)
    for folder, picture in pictures.items():
        assert picture.dtype == np.uint8
        assert picture.shape in (SHAPE, (*SHAPE, 3))
        if folder in label_folders:
            assert np.array_equal(picture, LABELS)
    if condition.carries_labels:
        assert labels.dtype == np.uint8
        assert np.array_equal(labels, LABELS)
    else:
        assert labels is None
    assert preview.dtype == np.uint8
    assert preview.shape == (*SHAPE, 3)
    assert preview.min() < preview.max()


@every_condition
@pytest.mark.parametrize("augment", [False, True])
def test_every_condition_makes_samples(name, augment, folders):
    data = MyDataset(*folders, augment=augment, condition_type=name, image_size=32)
    channels = data.condition.hint_channels
    check_pairs(data.pairs, data.condition)
    assert len(data) == 3
    samples = [data[SampleKey(i, seed=5)] for i in range(3)]
    for sample in samples:
        assert sample.hint.dtype == torch.float32
        assert sample.hint.shape == (32, 32, channels)
        assert sample.hint.is_contiguous()
        assert 0 <= sample.hint.min() < sample.hint.max() <= 1
        assert data.condition.preview(sample.hint.numpy()).shape == (32, 32, 3)
    # The three files are equal: only their views can differ
    assert torch.equal(samples[0].hint, samples[1].hint) != augment
    assert torch.equal(data[SampleKey(0, seed=5)].hint, samples[0].hint)
    assert collate(samples).hints[0].shape == (3, channels, 32, 32)
    published = data[0]
    assert published["hint"].shape == (32, 32, channels)
    assert published["jpg"].shape == (32, 32, 3)


@every_condition
def test_without_a_view_the_hint_is_the_middle_of_the_file(name, folders):
    data = MyDataset(*folders, augment=False, condition_type=name, image_size=32)
    whole = data.condition.read_hint(data.pairs[0].condition)
    middle = torch.from_numpy(whole[8:40, 14:46])
    assert torch.equal(data[SampleKey(0, seed=5)].hint, middle)
    assert torch.equal(data.hint(0), middle)
