"""The study as a user runs it: once, again, in parts, with wrong files."""

import hashlib
import json
import re
import shutil

import pytest
import yaml

from core.files import write_json
from core.imaging.known_sizes import VOLUME, pixel_size_of_folder
from core.imaging.labels import read_labels
from core.notices import Notice
from tests.blobs import blobs, write_pairs
from utils import vary_masks
from utils.augmentation_study import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve real pairs, named by slices, and four generated ones."""
    root = tmp_path_factory.mktemp("study")
    write_pairs(root / "real", *blobs(12, 0))
    write_pairs(root / "run_2", *blobs(4, 1))
    write_pairs(root / "run_4", *blobs(6, 2))
    return root


def study_of(data, **changes):
    """Content of a small study file; each training has two steps."""
    return {
        "num_classes": 3,
        "real": {"images": [str(data / "real/images")], "masks": [str(data / "real/masks")]},
        "split": {"pattern": r"(\d+)", "train": ["0-5"], "val": [8], "test": ["10-11"]},
        "seeds": [0, 1],
        "segmenter": {
            "augmentation": "strong",
            "max_steps": 2,
            "batch_size": 2,
            "image_size": 32,
            "validations": 2,
        },
        "arms": [
            {"name": "plain"},
            {
                "name": "pairs",
                "synthetic": str(data / "run_4"),
                "segmenter": {"mix": ["real=1", "synthetic=1"]},
            },
        ],
        **changes,
    }


@pytest.fixture
def run(tmp_path):
    """Run a study file in `tmp_path / "out"`."""

    def run_study(content, *words):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(content))
        main([str(path), "--output", str(tmp_path / "out"), *words])

    return run_study


def results(folder):
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("out/results/*.json")}


def test_a_study_runs_in_parts_and_goes_on(data, tmp_path, run, capsys, monkeypatch):
    content = study_of(data)
    run(content, "--dry_run")
    assert "4 trainings, 4 to run" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    run(content, "--task", "2")
    assert set(results(tmp_path)) == {"pairs-6-0"}
    assert "3 trainings have no result yet" in capsys.readouterr().out
    run(content)
    out = capsys.readouterr().out
    assert "4 trainings, 3 to run" in out and "| pairs | 6 | 6 | 2 |" in out
    first = results(tmp_path)
    assert set(first) == {"plain-6-0", "plain-6-1", "pairs-6-0", "pairs-6-1"}
    assert len(first["plain-6-0"]["val_curve"]) == 2 and first["pairs-6-0"]["real_images"] == 6
    monkeypatch.setattr(
        "segmentation.study.jobs.train_segmenter", lambda *_: pytest.fail("trained again")
    )
    run(content)
    assert results(tmp_path) == first
    # The number of workers changes nothing, the bits that pixels use do.
    run(study_of(data, segmenter=content["segmenter"] | {"num_workers": 1}), "--dry_run")
    with pytest.raises(ValueError, match=r"plain-6-0.json: made with other options or files"):
        run(content, "--bit_depth", "12")
    # Results of other options are not mixed with those of these.
    with pytest.raises(ValueError, match=r"plain-6-0.json: made with other options or files"):
        run(study_of(data, segmenter=content["segmenter"] | {"learning_rate": 1e-3}))


def test_arms_that_could_win_by_more_than_their_pairs_are_told(data, run):
    content = study_of(data)
    content["segmenter"].pop("augmentation")
    content["arms"][1]["segmenter"] |= {"augmentation": "strong", "max_steps": 4}
    with pytest.warns(Notice) as notices:
        run(content, "--dry_run")
    told = [str(notice.message) for notice in notices]
    assert "arm pairs: differs from plain in more than its pairs (max_steps 4, not 2, " in told[0]
    assert "augmentation strong, not basic)" in told[0]
    assert told[1].startswith("arm plain, the baseline, has basic augmentation.")


def test_the_curve_over_labelled_images(data, tmp_path, run, capsys):
    arms = [
        {"name": "plain"},
        {"name": "only", "real": False, "synthetic": str(data / "run_{labelled}")},
    ]
    run(study_of(data, labelled=[2, 4], seeds=[0], arms=arms))
    found = results(tmp_path)
    numbers = {name: (r["real_images"], r["synthetic_images"]) for name, r in found.items()}
    assert numbers == {
        "plain-2-0": (2, 0),
        "plain-4-0": (4, 0),
        "only-2-0": (0, 4),
        "only-4-0": (0, 6),
    }
    run(study_of(data, labelled=[2, 4]), "--write_split", str(tmp_path / "split"))
    listed = {
        p.parent.name: sorted(f.name for f in p.iterdir()) for p in tmp_path.glob("split/*/images")
    }
    assert listed == {
        "train_2": ["01.png", "04.png"],
        "train_4": ["00.png", "02.png", "03.png", "05.png"],
        "val": ["08.png"],
        "test": ["10.png", "11.png"],
    }
    copied = read_labels(tmp_path / "split/val/masks/08.png")
    assert (copied == read_labels(data / "real/masks/08.png")).all()


def test_a_written_split_tells_the_pixel_size_that_its_images_share(data, tmp_path, run):
    real = {"images": [], "masks": []}
    for name, side in (("a", 8), ("b", 4)):
        shutil.copytree(data / "real", tmp_path / name)
        for kind, folders in real.items():
            folders.append(str(tmp_path / name / kind))
            for path in (tmp_path / name / kind).iterdir():
                if (path.stem in ("03", "08")) != (name == "b"):
                    path.unlink()
            write_json(tmp_path / name / kind / VOLUME, {"pixel_size_nm": [side, side]})
    with pytest.warns(Notice, match="is 8 nm in .*a/images, but 4 nm in .*b/images. It counts as"):
        run(study_of(data, real=real), "--write_split", str(tmp_path / "split"))
    split = tmp_path / "split"
    assert len(list((split / "train_6/images").iterdir())) == 6
    sizes = {
        p.parent.relative_to(split): pixel_size_of_folder(p.parent) for p in split.rglob(VOLUME)
    }
    expected = {"val": (4, 4), "test": (8, 8)}  # one folder each; train has images of both
    assert {str(p.parent): size for p, size in sizes.items()} == expected and len(sizes) == 4


def test_a_written_split_stays_and_is_not_replaced(data, tmp_path, run):
    split = ["--write_split", str(tmp_path / "split")]
    run(study_of(data, labelled=[2]), *split)
    mask = tmp_path / "split/val/masks/08.png"
    before = mask.stat().st_mtime_ns
    run(study_of(data, labelled=[2]), *split)
    assert mask.stat().st_mtime_ns == before
    moved = {"pattern": r"(\d+)", "train": ["0-5"], "val": [7], "test": ["10-11"]}
    for changes in ({"labelled": [2, 4]}, {"labelled": [2], "split": moved}):
        with pytest.raises(FileExistsError, match="split: holds another split. Name a new folder"):
            run(study_of(data, **changes), *split)
    shutil.copy(tmp_path / "split/test/masks/10.png", mask)  # as many files of the same names
    with pytest.raises(FileExistsError, match="holds another split"):
        run(study_of(data, labelled=[2]), *split)


def test_held_out_images_among_those_without_labels_are_refused(data, tmp_path, run, capsys):
    more = tmp_path / "more"
    more.mkdir()
    asked = ["--pairs_to_come", str(tmp_path / "a"), "--unlabelled", str(more)]
    with pytest.raises(FileNotFoundError, match="more"):
        run(study_of(data), *asked)
    training, test = (data / f"real/images/{name}.png" for name in ("00", "10"))
    shutil.copy(training, more / "b.png")
    run(study_of(data), *asked)
    shutil.copy(test, more / "c.png")
    with pytest.raises(ValueError, match="more/c.png: is .*real/images/10.png, which is held out"):
        run(study_of(data), *asked)
    with pytest.raises(ValueError, match="--unlabelled: is only checked, with --pairs_to_come"):
        run(study_of(data), "--unlabelled", str(more))


def test_images_without_labels_that_bear_the_name_of_another_are_refused(data, tmp_path, run):
    more = tmp_path / "more"
    more.mkdir()
    asked = ["--pairs_to_come", str(tmp_path / "a"), "--unlabelled", str(more)]
    shutil.copy(data / "real/images/00.png", more)  # the same image may be there
    run(study_of(data), *asked)
    shutil.copy(data / "real/images/06.png", more / "01.png")
    message = "more/01.png: bears the name of .*real/images/01.png, and shows something else"
    with pytest.raises(ValueError, match=message):
        run(study_of(data), *asked)
    shutil.copy(data / "real/images/06.png", more / "07.png")
    shutil.copy(data / "real/images/06.png", more / "07.PNG")
    with pytest.raises(RuntimeError, match="07"):
        run(study_of(data), *asked)


def test_an_image_that_stands_twice_in_the_split_is_refused(data, tmp_path, run):
    images, masks = blobs(12, 0)
    content = study_of(data)
    content["real"] = {kind: [str(tmp_path / "twice" / kind)] for kind in ("images", "masks")}
    for number, part in ((4, "train"), (8, "val")):
        shutil.rmtree(tmp_path / "twice", ignore_errors=True)
        write_pairs(tmp_path / "twice", [*images[:11], images[number]], masks)
        message = rf"split: .*11.png \(test\) is the same image as .*0{number}.png \({part}\)"
        with pytest.raises(ValueError, match=message):
            run(content, "--dry_run")


def test_classes_that_the_test_lacks_are_told_and_empty_pictures_are_no_copies(data, tmp_path, run):
    """Images 8 (val) and 10 (test) show nothing, nor does generated mask 0."""
    images, masks = blobs(12, 0)
    for number in (8, 10, 11):
        masks[number] = masks[number] * 0 + (number == 11)
    images[8] = images[10] = images[8] * 0
    write_pairs(tmp_path / "real", images, masks)
    drawn, shown = blobs(2, 5)
    write_pairs(tmp_path / "run", drawn, [shown[0] * 0, shown[1]])
    content = study_of(data)
    content["real"] = {kind: [str(tmp_path / "real" / kind)] for kind in ("images", "masks")}
    content["arms"][1]["synthetic"] = str(tmp_path / "run")
    with pytest.warns(Notice) as notices:
        run(content, "--dry_run")
    told = {str(notice.message) for notice in notices}
    assert "split: no mask of val shows class 1, 2, so it does not count there" in told
    assert "split: no mask of test shows class 2, so it does not count there" in told
    assert not any("the test shows" in line for line in told)


def test_classes_that_few_labelled_masks_lack_are_told(data, tmp_path, run):
    """Of two labelled images, none shows class 2; of all six, some do, and so does the test."""
    images, masks = blobs(12, 0)
    for number in (1, 4):  # those that are taken where two are labelled
        masks[number][masks[number] == 2] = 0
    write_pairs(tmp_path / "real", images, masks)
    content = study_of(data, labelled=[2, 6], arms=[{"name": "plain"}])
    content["real"] = {kind: [str(tmp_path / "real" / kind)] for kind in ("images", "masks")}
    with pytest.warns(Notice) as notices:
        run(content, "--dry_run")
    told = [str(notice.message) for notice in notices if "the test shows" in str(notice.message)]
    assert len(told) == 1
    assert told[0].startswith("split: the test shows class 2, and none of the 2 labelled masks of")


@pytest.mark.parametrize("lacking", ["val", "test"])
def test_old_results_that_may_count_absent_classes_are_not_mixed_in(data, tmp_path, run, lacking):
    """Of the test, an old result tells whether the lacking class 2 counted; of val, it does not."""
    images, masks = blobs(12, 0)
    for number in [8] if lacking == "val" else [10, 11]:
        masks[number][masks[number] == 2] = 0
    write_pairs(tmp_path / "real", images, masks)
    content = study_of(data, seeds=[0], arms=[{"name": "plain"}])
    content["real"] = {kind: [str(tmp_path / "real" / kind)] for kind in ("images", "masks")}
    run(content)
    path = tmp_path / "out/results/plain-6-0.json"
    result = json.loads(path.read_text())
    assert (result["iou"][2] is None) == (lacking == "test")
    for iou in (None, 0.0):  # of class 2: nowhere, or predicted where no mask shows it
        write_json(path, result | {"miou_turned": None, "iou": [*result["iou"][:2], iou]})
        if lacking == "val" or iou is not None:
            with pytest.raises(ValueError, match="plain-6-0.json: made by an older version, which"):
                run(content)
        else:
            run(content)


def test_arms_are_checked_before_their_pairs_are_made(data, tmp_path, run, capsys):
    there = {"name": "there", "synthetic": str(data / "run_{labelled}")}
    later = {"name": "later", "synthetic": f"{tmp_path}/./out/run_{{labelled}}"}
    one = {"name": "one", "synthetic": f"{tmp_path}/out/other_2"}
    folders = [f"{tmp_path}/out/{name}_{{labelled}}" for name in ("unused", "other", "run")]
    to_come = ["--pairs_to_come", *folders]
    typo = {"name": "typo", "synthetic": f"{tmp_path}/out/runs_{{labelled}}"}
    for arms, numbers, message in (
        ([there, later, typo], [2, 4], "arm typo: .*runs_2/images.*still to be made: .*out/run_"),
        ([later, there], [2, 3], "arm there: .*run_3/images: no such folder"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            run(study_of(data, labelled=numbers, arms=arms), *to_come)
    with pytest.raises(FileNotFoundError, match="still to be made: none"):
        run(study_of(data, labelled=[2], arms=[later]), "--pairs_to_come")
    split = ["--write_split", str(tmp_path / "split")]
    with pytest.raises(ValueError, match="--pairs_to_come: only checks; leave out --write_split"):
        run(study_of(data, arms=[later]), *split, *to_come)
    capsys.readouterr()
    for arms, listed in (([there], []), ([there, later], folders[2:]), ([later, one], folders[1:])):
        run(study_of(data, labelled=[2], arms=arms), *to_come)
        assert capsys.readouterr().out.splitlines() == listed
    assert not (tmp_path / "out").exists() and not (tmp_path / "split").exists()


def test_wrong_studies_are_refused_before_anything_trains(data, tmp_path, run, monkeypatch):
    monkeypatch.setattr(
        "segmentation.study.jobs.train_segmenter", lambda *_: pytest.fail("trained")
    )
    seen_mask, seen_image = tmp_path / "seen_mask", tmp_path / "seen_image"
    images, masks = blobs(12, 0)  # number 10 belongs to the test
    write_pairs(seen_mask, [images[0]], [masks[10]])
    write_pairs(seen_image, [images[10]], [masks[0]])
    other = {"real": {"images": ["a"], "masks": []}}
    cases = [
        ({"arms": [{"name": "a", "synthetic": "absent"}]}, "arm a: absent/images: no such folder"),
        ({"arms": [{"name": "a", "real": False}]}, "arms.0: neither real nor synthetic"),
        ({"arms": [{"name": "a/b"}]}, "arms.0.name: 'a/b' is no name"),
        ({"arms": [{"name": "a"}] * 2}, "arms: one stands there twice"),
        ({"arms": [{"name": "a", "sinthetic": "x"}]}, "arms.0.sinthetic: Extra inputs"),
        ({"arms": [{"name": "a", "segmenter": {"sed": 1}}]}, "arm a: no option is named sed"),
        ({"arms": [{"name": "a", "segmenter": {"seed": 1}}]}, "seed stands outside, as `seeds`"),
        ({"segmenter": {"encoder": "resnet19"}}, "arm plain: --encoder: resnet19"),
        ({"segmenter": {"mix": ["synthetic=1"]}}, "arm plain: mix: synthetic=1, but there are no"),
        ({"arms": [{"name": "a", "synthetic": None}]}, "arms.0: synthetic: has no value"),
        ({"labelled": None}, "labelled: has no value"),
        ({"baseline": "b"}, "baseline: no arm is named b"),
        ({"labelled": [7]}, "labelled: 7, but train holds 6 images"),
        ({"num_classes": 1}, "num_classes: Input should be greater"),
        ({"num_classes": 2}, "found value.*2, expected 0..1"),
        (other, "real.masks: List should have at least 1 item"),
        (
            {"arms": [{"name": "a", "synthetic": str(seen_mask)}]},
            "masks/00.png: shows the mask of .*10.png, which is held out",
        ),
        (
            {"arms": [{"name": "a", "synthetic": str(seen_image)}]},
            "images/00.png: is .*10.png, which is held out",
        ),
        (
            {"arms": [{"name": "a", "synthetic": str(data / "run_2"), "synthetic_images": 9}]},
            "arm a: 9 pairs wanted, .*run_2 holds 4",
        ),
    ]
    for changes, message in cases:
        with pytest.raises((ValueError, OSError, RuntimeError), match=re.compile(message)) as found:
            run(study_of(data, **changes))
        assert "\n" not in str(found.value), changes
    with pytest.raises(ValueError, match=r"--task 9: expected 0\.\.3"):
        run(study_of(data), "--task", "9")


def test_a_result_tells_the_steps_that_were_made(data, tmp_path, run, monkeypatch):
    monkeypatch.setattr(
        "segmentation.training.BestWeights.validations_since", lambda self, first=0: len(self.curve)
    )
    content = study_of(data, seeds=[0], arms=[{"name": "plain"}])
    content["segmenter"] |= {"max_steps": 3, "validations": 3, "patience": 2}
    run(content)
    assert results(tmp_path)["plain-6-0"]["steps"] == 2


@pytest.fixture
def refused(data, tmp_path):
    """The message that refuses generated pairs in `tmp_path / "run"`, None where they are taken."""

    def refuse():
        content = study_of(data)
        content["arms"][1]["synthetic"] = str(tmp_path / "run")
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
        try:
            main([str(tmp_path / "study.yaml"), "--output", str(tmp_path / "out"), "--dry_run"])
        except ValueError as error:
            return str(error)

    return refuse


def test_variations_of_a_test_mask_are_refused(data, tmp_path, refused):
    """Also where a run drew them. Those of other masks are taken."""
    for name, found in (("10", True), ("03", False)):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        for kind in ("images", "masks"):
            (tmp_path / "one" / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(data / f"real/{kind}/{name}.png", tmp_path / "one" / kind)
        words = ["--image_path", str(tmp_path / "one/images"), "--copies", "2"]
        vary_masks.main([str(tmp_path / "one/masks"), str(tmp_path / "run"), *words])
        if found:
            assert re.search(r"run: 10_v0 is, or was made from, .*images/10.png", refused())
            (tmp_path / "run").rename(tmp_path / "varied")
            write_pairs(tmp_path / "run", *blobs(2, 5))
            conditions = {str(tmp_path / "varied/masks/10_v1.png"): "0"}
            state = tmp_path / "run/generate_state.json"
            state.write_text(json.dumps({"condition_checksums": conditions}))
            assert re.search(r"masks/10_v1.png is, or was made from, .*images/10.png", refused())
            shutil.rmtree(tmp_path / "varied")  # an old record tells nothing then, a new one does
            with pytest.warns(Notice, match="run: drew .*10_v1.png, which is gone, and its record"):
                assert refused() is None
            sources = {name: [checksum_of(data / "real/images/10.png")] for name in conditions}
            noted = {"condition_checksums": conditions, "variation_sources": sources}
            state.write_text(json.dumps(noted))
            assert re.search(r"masks/10_v1.png is, or was made from, .*images/10.png", refused())
            shutil.rmtree(tmp_path / "one")
        else:
            assert refused() is None


def checksum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_that_redrew_a_test_image_is_refused(data, tmp_path, refused):
    """The drawn image looks different, so only the run's record tells, wherever it is read."""
    write_pairs(tmp_path / "run", *blobs(2, 5))
    state = tmp_path / "run/generate_state.json"
    for name, found in (("images/10", True), ("masks/08", True), ("images/03", False)):
        checksum = checksum_of(data / f"real/{name}.png")
        state.write_text(json.dumps({"condition_checksums": {"moved/3.png": checksum}}))
        if found:
            message = rf"run: moved/3.png is, or was made from, .*{name[-2:]}.png or its mask"
            assert re.search(message, refused())
        else:
            assert refused() is None
    redrew = {"encoded_images": [str(data / "real/images/10.png")]}
    state.write_text(json.dumps(redrew))  # of an older version
    with pytest.warns(Notice, match="run: redrew real images, such as .*10.png, and its record is"):
        refused()
    state.write_text("half a li")
    assert "generate_state.json: damaged or edited" in refused()
