"""The overview, the report and the data set of a finished run."""

import pytest

import generate
from core.files import write_json
from core.imaging.known_sizes import VOLUME
from core.notices import Notice
from generation.drawing import model


def test_overview_and_report_are_made_again_without_the_model(run, monkeypatch, capsys):
    folder = run("--n_augmentations_per_mask", 2)
    made = {name: (folder / name).read_bytes() for name in ("overview.png", "report.html")}
    assert made["report.html"].count(b"<img ") == 6 * 3
    assert b"still missing" not in made["report.html"]
    for name in made:
        (folder / name).write_text("half")
    monkeypatch.setattr(model, "build_model", lambda *_: pytest.fail("loaded"))
    generate.main(["--resume_run", str(folder)])
    assert {name: (folder / name).read_bytes() for name in made} == made
    assert str(folder / "report.html") in capsys.readouterr().out


def test_report_of_a_part_says_what_is_missing(run):
    folder = run("--run_id", "set", "--num_shards", 2, "--shard_index", 1)
    assert "3 images are still missing" in (folder / "report.html").read_text()
    run("--run_id", "set", "--num_shards", 2, "--shard_index", 0)
    assert "still missing" not in (folder / "report.html").read_text()


def test_export_at_the_end_and_of_a_finished_run(run, pairs, tmp_path, monkeypatch):
    real = ["--include_real", pairs / "images", pairs / "masks"]
    folder = run("--export_dataset", tmp_path / "set", *real)
    assert len(list((tmp_path / "set" / "images").iterdir())) == 12
    monkeypatch.setattr(model, "build_model", lambda *_: pytest.fail("loaded"))
    generate.main(["--resume_run", str(folder)])  # does not take over the export
    words = ["--resume_run", folder, "--export_dataset", tmp_path / "again", *real]
    generate.main([str(word) for word in words])
    first, again = (tmp_path / name / "splits.csv" for name in ("set", "again"))
    assert again.read_bytes() == first.read_bytes()


def test_an_export_fills_the_empty_folder_that_a_link_names(run, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    run("--export_dataset", tmp_path / "link")
    assert len(list((tmp_path / "disk" / "masks").iterdir())) == 6
    assert (tmp_path / "link").is_symlink()


def test_real_pairs_of_another_pixel_size_are_named(run, pairs, tmp_path, recwarn):
    for kind, side in (("images", 10), ("masks", 8)):
        write_json(pairs / kind / VOLUME, {"pixel_size_nm": [side, side]})
    real = ["--include_real", pairs / "images", pairs / "masks"]
    run("--export_dataset", tmp_path / "set", *real, "--dry_run")
    (warned,) = (str(w.message) for w in recwarn if w.category is Notice)
    assert f"{pairs / 'images'} has pixels of 10 nm, but the generated set" in warned


def test_exports_that_make_no_sense(run, pairs, tmp_path, error_line, capsys):
    folder = run()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    capsys.readouterr()  # progress bars

    def refused(*words, first=("--resume_run", folder)):
        return error_line(generate.main, *first, *words)

    to_full, to_new = (("--export_dataset", tmp_path / name) for name in ("full", "new"))
    assert "exists and is not an empty folder" in refused(*to_full)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    line = refused("--export_dataset", tmp_path / "link")
    assert f"--export_dataset {tmp_path / 'link'}: a link to {tmp_path / 'gone'}, which is" in line
    real = ["--include_real", pairs / "images", pairs / "masks"]
    assert "--include_real: needs --export_dataset" in refused(*real)
    assert "when all shards are done" in refused(*to_new, "--num_shards", 2, "--shard_index", 0)
    edges = ("--edge_dirs", "a=x", "--edge_model_paths", "a=y")
    assert "have no masks" in refused(*to_new, first=edges)
