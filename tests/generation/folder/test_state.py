"""Records of a generation that were edited, damaged or copied from elsewhere."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.files import write_json
from core.imaging.known_sizes import VOLUME
from core.notices import Notice
from generation.folder.manifest import read_manifest, read_recorded
from generation.folder.published_state import load_generation_state
from generation.folder.state import read_generation
from runs.status import run_statuses
from tests.edited import edits
from tests.generation.made_up import write_image


@pytest.fixture
def made(new_run):
    """A finished run, and the texts of its records."""
    run = new_run()
    run.open()
    for k in range(4):
        write_image(run, k)
    run.finish()
    names = ("args.json", "generate_state.json", "manifest.jsonl")
    return new_run, run, {name: (run.folder / name).read_text() for name in names}


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(edit=edits(), name=st.sampled_from(["args.json", "generate_state.json"]))
@example(edit=lambda record: record | {"args": record["args"] | {"seed": 1e12}}, name="args.json")
def test_an_edited_record_means_the_same_or_is_refused(made, edit, name):
    new_run, run, texts = made
    for file, text in texts.items():
        (run.folder / file).write_text(text)
    (run.folder / name).write_text(json.dumps(edit(json.loads(texts[name]))))
    joined = new_run()
    try:
        joined.join()
    except ValueError as error:
        assert str(run.folder / name) in str(error) and "\n" not in str(error)
    else:
        # What is drawn follows from these alone, and they are those of the command line.
        assert joined.options == run.options and joined.seed == run.seed
        assert joined.find_flaws(range(4)) == [] and joined.finish() == 4
        assert (run.folder / "manifest.jsonl").read_text() == texts["manifest.jsonl"]
    statuses = run_statuses(run.folder, 0, 10)  # several where the number of shards was edited
    assert statuses and not any("\n" in status.notes for status in statuses)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(edit=edits())
def test_an_edited_manifest_is_refused_or_names_files_of_the_run(made, edit):
    _, run, texts = made
    first, *others = texts["manifest.jsonl"].splitlines()
    path = run.folder / "manifest.jsonl"
    path.write_text("\n".join([json.dumps(edit(json.loads(first))), *others]) + "\n")
    try:
        lines = read_manifest(run.folder)
    except ValueError as error:
        assert str(error).startswith(f"{path}, line 1: ") and "\n" not in str(error)
    else:
        for line in lines:
            for file in (line["image"], line["mask"], *line["conditions"].values()):
                assert file is None or Path(os.path.normpath(file)) == Path(file)
    assert len(read_recorded(run.folder)) >= 3


@pytest.mark.parametrize(
    ("image", "fine"),
    [
        ("images/..", False),
        ("images/../args.json", False),
        ("/etc/passwd", False),
        ("images/a/b", False),
        ("images/a\nb", True),
        ("images/..a", True),
    ],
)
def test_no_line_leads_out_of_the_run(made, image, fine):
    _, run, texts = made
    line = json.loads(texts["manifest.jsonl"].splitlines()[0]) | {"image": image}
    (run.folder / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    if fine:
        assert read_manifest(run.folder)[0]["image"] == image
    else:
        with pytest.raises(ValueError, match="image: String should match pattern"):
            read_manifest(run.folder)


@pytest.mark.parametrize("name", ["args.json", "generate_state.json", "manifest.jsonl"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "endless", "empty", "binary"])
def test_what_is_no_record_is_one_line(made, name, kind):
    new_run, run, _ = made
    path = run.folder / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"" if kind == "empty" else bytes(range(256)))
    if name == "manifest.jsonl" and kind in ("empty", "binary"):
        joined = new_run()
        joined.join()
        assert joined.find_flaws(range(4)) == [] and joined.finish() == 4  # written anew
        return
    with pytest.raises((ValueError, FileNotFoundError), match=name):
        new_run().join()
        new_run().find_flaws(range(4))
        read_generation(run.folder)


def test_what_has_changed_is_named(new_run, tmp_path):
    new_run().open()
    for folder in ("masks", "depth"):
        (tmp_path / folder / "c1.png").rename(tmp_path / folder / "c7.png")
    with pytest.raises(ValueError, match=r"of d, mask; gone: .*c1.png.*; new: .*c7.png.*Put"):
        new_run().join()


@pytest.mark.parametrize("name", ["images", "conditions", "overview.png", "report.html"])
def test_names_that_are_taken_are_found_before_anything_is_drawn(made, name):
    new_run, run, _ = made
    path = run.folder / name
    path.rename(run.folder / "away")
    if path.suffix:
        path.mkdir()
    else:
        path.touch()
    with pytest.raises(ValueError, match=f"{name}: expected a f"):
        new_run().join()


def test_a_condition_with_another_content_is_named(new_run, tmp_path):
    new_run().open()
    mask = tmp_path / "masks" / "c1.png"
    whole = mask.read_bytes()
    mask.write_bytes((tmp_path / "masks" / "c0.png").read_bytes())
    with pytest.raises(ValueError, match="1 condition files have another content.*masks/c1.png"):
        new_run().join()
    mask.write_bytes(whole)  # its time is another one, its content is not
    new_run().join()
    state = tmp_path / "run" / "generate_state.json"
    content = json.loads(state.read_text())
    del content["condition_checksums"]  # a run of an older version
    state.write_text(json.dumps(content))
    new_run().join()


def test_a_state_notes_what_its_varied_masks_were_made_from(new_run, tmp_path):
    masks = [{"name": "c1", "checksums": ["12", "34"]}, {"name": "elsewhere", "checksums": ["5"]}]
    write_json(tmp_path / "variations.json", {"masks": masks})
    new_run().open()
    state = read_generation(tmp_path / "run")[1]
    files = [str(tmp_path / kind / "c1.png") for kind in ("masks", "depth")]
    assert state.variation_sources == dict.fromkeys(files, ["12", "34"])


def test_a_state_without_options_refuses_no_run(new_run, tmp_path):
    """Nothing tells then whether the record was edited."""
    new_run().open()
    state = tmp_path / "run" / "generate_state.json"
    content = json.loads(state.read_text())
    state.write_text(json.dumps(content | {"args": content["args"] | {"strength": 9}}))
    with pytest.raises(ValueError, match=r"args.json: edited, as .*another --strength \(9\)"):
        new_run().join()
    del content["args"]
    state.write_text(json.dumps(content))
    new_run().join()


def test_another_pixel_size_of_the_conditions_is_named(new_run, tmp_path):
    sizes = tmp_path / "depth" / VOLUME
    write_json(sizes, {"pixel_size_nm": [8, 8]})
    new_run().open()
    new_run().join()
    write_json(sizes, {"pixel_size_nm": [4, 8]})
    changed = "started, the pixel size of d was changed from 8 nm to 4 x 8 nm .*. Put back volume"
    with pytest.raises(ValueError, match=changed):
        new_run().join()
    sizes.unlink()
    with pytest.raises(ValueError, match="d was changed from 8 nm to unknown"):
        new_run().join()
    state = tmp_path / "run" / "generate_state.json"
    content = json.loads(state.read_text())
    del content["stated_sizes"]  # a run of an older version
    state.write_text(json.dumps(content))
    new_run().join()


def test_the_state_of_a_run_has_the_published_keys(made):
    _, run, texts = made
    state = load_generation_state(run.folder)
    keys = "args condition_paths primary_condition_key mask_paths condition_records config saved_at"
    assert state.keys() >= set(keys.split()) and state["args"]["seed"] == 5
    assert state == json.loads(texts["generate_state.json"])


def test_a_foreign_record_of_variations_ends_no_generation(new_run, tmp_path):
    write_json(tmp_path / "variations.json", {"masks": "many"})
    with pytest.warns(
        Notice, match="variations.json.* What its masks were varied from is not noted"
    ):
        new_run().open()
    assert read_generation(tmp_path / "run")[1].variation_sources is None
