import pytest

from utils import plan


def printed(capsys, *words):
    plan.main([str(word) for word in words])
    return capsys.readouterr().out


def test_the_papers_work_from_given_seconds(capsys):
    text = printed(capsys, "--seconds_per_step", 0.9, "--seconds_per_image", 12)
    training, images = text.splitlines()[1:]
    # 600 epochs of 117 batches: 63,180 s
    assert "70,200 steps" in training and training.endswith("17.6")
    assert "10,553 images" in images and images.endswith("35.2")  # 126,636 s


def test_what_has_no_cost_is_left_out_and_gpus_share(capsys):
    text = printed(capsys, "--seconds_per_image", 36, "--images", 2400, "--gpus", 2)
    header, line = text.splitlines()
    assert "days on 2" in header and line.split()[-2:] == ["24.0", "0.50"]


def test_the_last_smaller_batch_is_a_step(capsys):
    words = "--seconds_per_step 3600 --epochs 2 --pairs 5 --batch_size 2"
    assert printed(capsys, *words.split()).endswith("6.0\n")  # 2 epochs of 3 batches


def test_measured_on_a_model(capsys, micro_yaml):
    common = f"--config {micro_yaml} --device cpu --repeats 1 --ddim_steps 7".split()
    text = printed(capsys, "--measure", *common, "--branches", 2, "--batch_size_per_inference", 2)
    assert "64 x 64 pixels" in text and "training step of 2: " in text
    assert " and 8 times " in text  # DDIM takes every 142nd of 1000 timesteps: 8
    assert "70,200 steps" in text and "10,553 images" in text
    text = printed(capsys, "--measure", "image", *common, "--seconds_per_step", 1)
    assert "training step" not in text


def test_bad_input_is_one_line_before_the_model_loads(error_line, micro_yaml, monkeypatch):
    monkeypatch.setattr("cldm.model.build_model", lambda *_: pytest.fail("loaded"))
    assert "no cost is known" in error_line(plan.main)
    assert "--seconds_per_step is given" in error_line(
        plan.main, "--measure", "--seconds_per_step", 1
    )
    assert "--ddim_steps: is only read with --measure" in error_line(
        plan.main, "--seconds_per_image", 1, "--ddim_steps", 70
    )
    assert "multiple of 16" in error_line(
        plan.main, "--measure", "--config", micro_yaml, "--image_size", 50
    )
    assert "no such configuration" in error_line(plan.main, "--measure", "--config", "none.yaml")
    assert "--seconds_per_image" in error_line(plan.main, "--seconds_per_image", 0)
