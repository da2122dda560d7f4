import json
import os
import time

import pytest

import generate
import train
from utils import run_status


@pytest.fixture
def status(capsys):
    """Function from options to (exit code, the table's lines without the header)."""

    def call(*words):
        code = 0
        capsys.readouterr()  # what other scripts printed
        try:
            run_status.main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().out.splitlines()[1:]

    return call


def training_words(config, weights, pairs, output_root):
    words = f"--image_path {pairs / 'images'} --mask_path {pairs / 'masks'} --gpus 0 "
    words += f"--cldm_config_path {config} --resume_path {weights} --output_root {output_root}"
    return words.split()


def make_generation(
    run, conditions, copies, num_shards=1, made=(), mode="mask_only", first_batch=1
):
    """A run folder as generate.py leaves it.

    Args:
        made: numbers of the images that are there, each a second newer than the one before; the
            last is new.
        first_batch: 0 for a run of an older version, which does not say it.
    """
    for folder in ("images", "masks", "conditions/mask"):
        (run / folder).mkdir(parents=True)
    args = {
        "n_augmentations_per_mask": copies,
        "seed": 0,
        "num_shards": num_shards,
        "generation_mode": mode,
    }
    state = {"condition_records": [{}] * conditions, "prompts": ["cell"]}
    state |= {"condition_paths": {}, "weights": {}, "config": {}}
    state |= {"first_batch": first_batch} if first_batch else {}
    (run / "generate_state.json").write_text(json.dumps(state))
    (run / "args.json").write_text(json.dumps({"args": args}))
    now = time.time()
    for age, k in enumerate(reversed(made)):
        name = f"cond{k // copies}_batch{k % copies + first_batch}_sample0.png"
        for file in (f"images/image_{name}", f"masks/image_{name}", f"conditions/mask/mask_{name}"):
            (run / file).write_bytes(b"png")
            os.utime(run / file, (now - age, now - age))
    return run


def make_training(run, **content):
    run.mkdir(parents=True)
    default = {
        "state": "running",
        "step": 250,
        "total_steps": 1000,
        "loss": 0.125,
        "seconds_per_step": 2.0,
        "checkpoint_step": 200,
        "error": None,
    }
    (run / "progress.json").write_text(json.dumps(default | {"updated": time.time()} | content))
    (run / "last.ckpt").write_bytes(b"")
    return run


def age(path, hours):
    for file in path.rglob("*"):
        if file.is_file():
            os.utime(file, (time.time() - 3600 * hours,) * 2)


def test_a_real_training_and_generation(status, micro_yaml, micro_weights, pairs, tmp_path):
    words = training_words(micro_yaml, micro_weights, pairs, tmp_path / "runs")
    train.main([*words, "--max_steps", "4", "--logger", "csv"])
    words = f"--config_yaml_path {micro_yaml} --model_weights_path {micro_weights} --device cpu "
    words += f"--mask_dir {pairs / 'masks'} --ddim_steps 1 --num_shards 2 --run_id a "
    words += f"--output_base_dir {tmp_path / 'runs'} --shard_index"
    generate.main([*words.split(), "1"])
    code, (training, total, first, second) = status(tmp_path / "runs")
    assert code == run_status.WORK_LEFT
    assert " done " in training and "4 / 4 steps" in training and "last.ckpt of step 4" in training
    assert "waiting" in total and "3 / 6 images" in total  # nobody is at it
    assert "waiting" in first and "0 / 3 images" in first
    assert "done" in second and "3 / 3 images" in second
    generate.main([*words.split(), "0"])
    assert status(tmp_path / "runs")[0] == 0


def test_a_training_that_fails_says_why(status, micro_yaml, micro_weights, pairs, tmp_path):
    words = training_words(micro_yaml, micro_weights, pairs, tmp_path / "runs")
    with pytest.raises(ValueError, match="the loss is"):
        train.main([*words, "--learning_rate", "1e30"])
    code, (line,) = status(tmp_path / "runs")
    assert code == 1 and " failed " in line and "lower learning rate" in line


def test_rate_time_left_loss_and_checkpoint(status, tmp_path):
    make_training(tmp_path / "run")
    code, (line,) = status(tmp_path / "run")
    assert code == run_status.WORK_LEFT and "running" in line
    for shown in ("250 / 1,000 steps", "2.00 s", "25.0 min", "loss 0.125", "last.ckpt of step 200"):
        assert shown in line


def test_silence_is_a_stall_unless_the_run_is_that_slow(status, tmp_path):
    make_training(tmp_path / "runs" / "slow", seconds_per_step=600, updated=time.time() - 3600)
    assert status(tmp_path / "runs")[0] == run_status.WORK_LEFT
    make_training(tmp_path / "runs" / "silent", updated=time.time() - 3600)
    code, (silent, slow) = status(tmp_path / "runs")
    assert code == 1 and "stalled" in silent and "running" in slow
    assert status(tmp_path / "runs", "--stalled_after", 90)[0] == run_status.WORK_LEFT
    make_training(tmp_path / "stopped", state="stopped")
    code, (line,) = status(tmp_path / "stopped")
    assert code == 1 and "25.0 min" not in line  # nothing goes on, so no time is left


def test_runs_that_have_not_begun(status, tmp_path):
    """They wait, but not for ever; shards may wait in a queue for days."""
    training = tmp_path / "all" / "trainings" / "a"
    training.mkdir(parents=True)
    (training / "args.json").write_text('{"args": {"cldm_config_path": "x"}}')
    make_generation(tmp_path / "all" / "run_b", 3, 2)
    make_generation(tmp_path / "all" / "run_c", 3, 2, num_shards=2)
    code, lines = status(tmp_path)
    assert code == run_status.WORK_LEFT and ["waiting" in line for line in lines] == [True] * 5
    age(tmp_path, 5)
    code, lines = status(tmp_path)
    # run_b, run_c with its two shards, a
    stalled = ["stalled" in line for line in lines]
    assert code == 1 and stalled == [True, False, False, False, True]


def test_a_training_before_its_first_checkpoint(status, tmp_path):
    (make_training(tmp_path / "run") / "last.ckpt").unlink()
    assert "no checkpoint yet" in status(tmp_path)[1][0]


def test_shards_of_a_generation(status, tmp_path):
    run = make_generation(tmp_path / "run_a", 10, 4, num_shards=4, made=range(25))
    code, (total, *shards) = status(run)
    assert code == run_status.WORK_LEFT and "running" in total and "25 / 40 images" in total
    assert [line.split()[4] for line in shards] == ["done", "done", "running", "waiting"]
    assert "1.00 s" in shards[2] and "5.00 s" in shards[2]  # a second each, five left
    age(run / "images", 5)
    code, (total, *shards) = status(run)
    assert code == 1 and "stalled" in total
    assert [line.split()[4] for line in shards] == ["done", "done", "stalled", "waiting"]
    assert len(status(run, "--num_shards", 8)[1]) == 9


def test_shards_that_work_at_once_share_the_time(status, tmp_path):
    made = [*range(10), *range(20, 30)]
    run = make_generation(tmp_path / "run_a", 10, 4, num_shards=2, made=made)
    _, (total, *shards) = status(run)
    assert "0.500 s" in total and "10.0 s" in total  # 20 images left
    assert all("1.00 s" in line and "10.0 s" in line for line in shards)


def test_images_from_edges_have_no_masks(status, tmp_path):
    run = make_generation(tmp_path / "run_a", 3, 1, made=range(3), mode="edge_only")
    for path in (run / "masks").iterdir():
        path.unlink()
    assert status(run)[0] == 0


def test_pictures_that_are_no_use_count_as_failed(status, tmp_path):
    run = make_generation(tmp_path / "run_a", 3, 2, made=range(6))
    assert status(run)[0] == 0
    (run / "images" / "image_cond1_batch1_sample0.png").write_bytes(b"")
    (run / "masks" / "image_cond2_batch2_sample0.png").unlink()
    age(run / "images", 5)
    code, (line,) = status(run)
    assert code == 1 and "4 / 6 images" in line and " failed " in line and "2 failed" in line


def test_damaged_and_half_made_folders_are_one_line_each(status, tmp_path):
    make_training(tmp_path / "a")
    (tmp_path / "a" / "progress.json").write_text('{"state": "run')
    (tmp_path / "run_b" / "images").mkdir(parents=True)
    make_generation(tmp_path / "run_c", 3, 2)
    (tmp_path / "run_c" / "generate_state.json").unlink()
    make_training(tmp_path / "d")
    (tmp_path / "d" / "progress.json").write_text("{}")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "args.json").write_text('{"args": {"cldm_config_path": "x"}}')
    code, lines = status(tmp_path)
    assert code == 1 and len(lines) == 5
    expected = (
        "progress.json: damaged or edited",
        "state: Field required",
        "no step yet",
        "args.json: not there",
        "generate_state.json: not there",
    )
    for line, shown in zip(lines, expected, strict=True):
        assert shown in line


def test_bad_input_is_one_line(error_line, tmp_path):
    assert "none: no such folder" in error_line(run_status.main, tmp_path / "none")
    assert "holds no run" in error_line(run_status.main, tmp_path)
