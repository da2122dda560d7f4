"""A run without a model: its images are made up."""

import dataclasses
import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.files import sha256_of, write_json
from core.imaging.images import read_grey, write_png
from core.imaging.known_sizes import VOLUME, pixel_size_of_folder
from core.imaging.labels import read_labels
from generation.folder.manifest import read_manifest
from generation.run import Run
from generation.run_options import options_of_run
from runs.status import run_statuses
from tests.generation.made_up import write_image


def test_a_run_from_start_to_end(new_run):
    run = new_run()
    assert not run.exists and run.pending(range(4)) == [0, 1, 2, 3]
    run.open()
    assert run.exists
    for k in (2, 0):
        write_image(run, k)
    assert run.pending(range(4)) == [1, 3]
    assert run.finish() == 2
    names = [f"images/{run.plan.file_name(k)}" for k in (0, 2)]  # in the plan's order
    assert [line["image"] for line in read_manifest(run.folder)] == names
    line = read_manifest(run.folder)[1]
    assert line["seed"] == run.plan[2].seed and line["prompt"] in ("a", "b")
    assert (read_labels(run.folder / line["mask"]) == 1).all()
    depth = read_grey(run.folder / line["conditions"]["d"])
    assert np.allclose(depth * 255, 101, atol=0.01)
    assert line["options"]["strengths"] == {"mask": 1.0, "d": 1.0}
    assert (run.folder / "report.html").is_file()


def test_the_pixel_size_of_the_masks_goes_with_the_images(new_run, tmp_path):
    write_json(tmp_path / "masks" / VOLUME, {"pixel_size_nm": [4, 8]})
    run = new_run()
    run.open()
    write_image(run, 0)
    run.finish()
    assert read_manifest(run.folder)[0]["pixel_size_nm"] == [4, 8]
    for name in ("images", "masks"):
        assert pixel_size_of_folder(run.folder / name) == (4, 8)
    (tmp_path / "masks" / VOLUME).unlink()
    assert new_run().manifest_line(new_run().plan[0])["pixel_size_nm"] is None


def test_one_of_many_processes_makes_the_folder(new_run, tmp_path):
    runs = [new_run(seed=-1) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Run.open, runs))
    assert len({run.seed for run in runs}) == 1 and runs[0].seed >= 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["depth", "masks", "run"]


def test_a_maker_that_was_killed_does_not_block_the_name(new_run, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    run = new_run()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("generation.run.write_run_record", killed)
        run.open()
    assert not run.folder.exists()
    run.open()
    assert run.exists


def test_what_is_not_as_it_was_written_counts_as_missing(new_run):
    run = new_run()
    run.open()
    for k in range(4):
        write_image(run, k)
    run.finish()
    assert run.find_flaws(range(4)) == []
    lines = [run.manifest_line(run.plan[k]) for k in range(4)]
    files = [
        [run.folder / file for file in (line["image"], line["mask"], line["conditions"]["d"])]
        for line in lines
    ]
    whole = {path: path.read_bytes() for paths in files for path in paths}
    other_size = np.zeros((9, 8, 3), np.uint8)
    other_mask, other_depth = (whole[files[0][i]] for i in (1, 2))
    for k, damage, expected in (
        (0, lambda image, mask, depth: image.write_bytes(b""), "it is empty"),
        (0, lambda image, mask, depth: image.write_bytes(whole[image][:-20]), "cannot be read"),
        (1, lambda image, mask, depth: write_png(image, other_size[:8]), "not the picture"),
        (1, lambda image, mask, depth: write_png(image, other_size[..., 0]), "grey 1 8 PNG"),
        (2, lambda image, mask, depth: mask.unlink(), "not there"),
        (2, lambda image, mask, depth: write_png(mask, other_size), "expected 8-bit grey PNG"),
        (2, lambda image, mask, depth: mask.write_bytes(other_mask), "masks/.*: not the picture"),
        (2, lambda image, mask, depth: depth.write_bytes(other_depth), "d/.*: not the picture"),
        (3, lambda image, mask, depth: write_png(depth, other_size), r"\(9, 8\) pixels"),
        (3, lambda image, mask, depth: depth.write_bytes(whole[depth][:-9]), "cannot be read"),
    ):
        damage(*files[k])
        (flaw,) = run.find_flaws(range(4))
        assert re.search(expected, flaw) and run.pending(range(4)) == [k]
        run.open()
        assert not files[k][0].exists()
        write_image(run, k)
        assert run.find_flaws(range(4)) == []
    assert whole == {path: path.read_bytes() for path in whole}
    files[0][1].unlink()
    files[0][1].mkdir()
    with pytest.raises(ValueError, match="found no regular file. Move it away"):
        run.find_flaws(range(4))


def test_a_damaged_image_of_another_shard_does_not_stop_the_report(new_run):
    run = new_run()
    run.open()
    for k in range(4):
        write_image(run, k)
    (run.folder / "images" / run.plan.file_name(1)).write_bytes(b"")
    assert run.finish() == 4
    assert "image_cond0_batch2" not in (run.folder / "report.html").read_text()


def test_checksums_are_recorded_and_survive(new_run):
    run = new_run()
    run.open()
    write_image(run, 0)
    write_image(run, 1)
    manifest = run.folder / "manifest.jsonl"
    first, second = manifest.read_text().splitlines(keepends=True)
    manifest.write_text(first + second[:40])  # killed while it added the line
    run.finish()
    for line in read_manifest(run.folder):
        assert line["sha256"] == sha256_of(run.folder / line["image"])
        assert line["others_sha256"] == {
            file: sha256_of(run.folder / file)
            for file in (line["mask"], line["conditions"]["mask"], line["conditions"]["d"])
        }


def test_pictures_whose_checksums_nobody_noted_are_taken_as_they_are(new_run):
    """Masks and conditions of runs of older versions."""
    run = new_run()
    run.open()
    for k in range(4):
        write_image(run, k)
    run.finish()
    path = run.folder / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["others_sha256"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    masks = [run.folder / line["mask"] for line in lines]
    masks[2].write_bytes(masks[0].read_bytes())
    assert run.find_flaws(range(4)) == []
    assert run.finish() == 4 and [json.loads(x) for x in path.read_text().splitlines()] == lines


def test_images_of_weights_that_changed_are_made_again(new_run):
    run = new_run()
    run.open()
    write_image(run, 0)
    run.finish()
    later = new_run()
    later.join()
    write_image(later, 1)
    later.finish(["w.ckpt"])
    assert [line.get("weights_changed") for line in read_manifest(run.folder)] == [None, ["w.ckpt"]]
    assert "the weights changed while it was drawn" in later.find_flaws(range(4))[0]
    assert later.pending(range(4)) == [1, 2, 3]
    later.open()
    write_image(later, 1)
    run.finish()
    assert later.find_flaws(range(4)) == [] and later.pending(range(4)) == [2, 3]


def test_without_labels_there_are_no_masks(new_run):
    run = new_run(names=("d",))
    run.open()
    write_image(run, 0)
    assert run.finish() == 1
    assert not run.has_masks and not list((run.folder / "masks").iterdir())
    assert read_manifest(run.folder)[0]["mask"] is None
    assert json.loads((run.folder / "generate_state.json").read_text())["has_masks"] is False


def test_a_drawn_seed_is_shared_by_all_that_join(new_run):
    first, second = new_run(seed=-1), new_run(seed=-1)
    first.open()
    second.open()
    assert first.seed == second.seed == first.plan.seed == second.plan.seed >= 0
    assert options_of_run(first.folder)["seed"] == first.seed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": 9}, "another --strength"),
        ({"prompts": ("a",)}, "the prompts are not those"),
        ({"weights": "0e"}, "the weights are not those"),
        ({"names": ("d",)}, "the condition files are not those"),
    ],
)
def test_another_run_is_not_joined(new_run, changes, message):
    new_run().open()
    with pytest.raises(ValueError, match=message):
        new_run(**changes).join()


def test_options_that_a_record_lacks_do_not_refuse_it(new_run):
    """Runs of older versions lack the newest options."""
    new_run().open()
    newer = new_run(branches=None, membrane_scale=4.0, dry_run=True)
    newer.join()
    assert newer.seed == 5


def test_options_of_one_call_are_not_taken_over(new_run):
    run = new_run(run_id="one", num_shards=3, dry_run=False, options_file="x.yaml")
    run.open()
    saved = options_of_run(run.folder)
    assert saved["n_augmentations_per_mask"] == 2
    assert not {"run_id", "num_shards", "dry_run", "options_file"} & saved.keys()


def test_the_plan_takes_another_seed_without_changing_names(new_run):
    plan = new_run().plan
    other = dataclasses.replace(plan, seed=6)
    assert other[3].seed != plan[3].seed and other.file_name(3) == plan.file_name(3)


# Runs of older versions, whose batches count from 0


def make_older(run):
    """Take from a run's state what older versions did not write."""
    path = run.folder / "generate_state.json"
    state = json.loads(path.read_text())
    assert state.pop("first_batch") == 1
    path.write_text(json.dumps(state))


def names_of(run):
    """Condition and batch of the images that are there, as two digits."""
    return {re.sub(r"\D", "", path.stem)[:2] for path in (run.folder / "images").iterdir()}


@pytest.mark.parametrize("made", [[], [0], [1], [0, 1, 2, 3]])
def test_an_older_run_goes_on_with_its_own_names(new_run, made):
    run = new_run()
    run.open()
    make_older(run)
    run.join()  # as the older version named them
    for k in made:
        write_image(run, k)
    later = new_run()
    later.join()
    assert later.find_flaws(range(4)) == []
    later.open()
    assert later.pending(range(4)) == [k for k in range(4) if k not in made]
    (status,) = run_statuses(run.folder, 0, 10)
    assert status.done == len(made)
    for k in later.pending(range(4)):
        write_image(later, k)
    assert later.finish() == 4 and names_of(run) == {"00", "01", "10", "11"}
    assert [line["image"][-13:-12] for line in read_manifest(run.folder)] == list("0101")
    assert run_statuses(run.folder, 0, 10)[0].state == "done"


def test_the_two_ways_to_number_do_not_mix(new_run):
    run = new_run()
    run.open()
    for k in range(4):
        write_image(run, k)
    assert names_of(run) == {"01", "02", "11", "12"}
    make_older(run)
    with pytest.raises(ValueError, match="first_batch 0 does not fit images/image_cond0_batch2"):
        new_run().join()
    older, newer = (dataclasses.replace(run.plan, first_batch=first) for first in (0, 1))
    for plan, other in ((older, newer), (newer, older)):
        names = [{each.file_name(k) for k in range(4)} for each in (plan, other)]
        assert plan.misnumbered(names[0]) is None and plan.misnumbered(names[1]) is not None
        assert plan[3].seed == other[3].seed and plan[3].prompt == other[3].prompt
