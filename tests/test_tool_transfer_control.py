"""A control branch moves onto another base: trained branch plus the difference of the bases."""

import pytest
import torch

import tool_transfer_control
from cldm.base_encoder import encoder_mark, encoder_values, refuse_other_base
from cldm.model import create_model
from core.files import sha256_of
from core.notices import Notice
from core.weights.checkpoints import load_state_dict, save_weights, subset
from core.weights.notes import BASE_ENCODER, ENCODER_VALUES, STARTED_FROM
from tests.weights import fill_zero_layers

ENCODER = "input_blocks.1.0.in_layers.2.weight"  # in the U-Net and, as a copy, in the branch


@pytest.fixture
def files(micro_yaml, tmp_path):
    """Two bases, and the first with a branch: its encoder plus 1, its other layers random."""

    def make_base(seed):
        torch.manual_seed(seed)
        return fill_zero_layers(create_model(micro_yaml), std=0.1 * seed).state_dict()

    old, new = make_base(1), make_base(2)
    trained = dict(old)
    for name in old:
        origin = name.replace("control_model.", "model.diffusion_model.", 1)
        if name.startswith("control_model.") and origin in old:
            trained[name] = old[origin] + 1
    parts = ("model.", "first_stage_model.", "cond_stage_model.")
    save_weights(subset(old, parts), tmp_path / "old.safetensors")
    save_weights(trained, tmp_path / "trained.ckpt")
    save_weights(subset(new, parts), tmp_path / "new.ckpt")
    return [tmp_path / name for name in ("old.safetensors", "trained.ckpt", "new.ckpt")]


def run(files, output, micro_yaml):
    tool_transfer_control.main([*map(str, files), str(output), "--config", str(micro_yaml)])
    return load_state_dict(output)


def test_the_branch_is_the_new_encoder_plus_what_was_learned(files, micro_yaml, tmp_path):
    result = run(files, tmp_path / "moved.safetensors", micro_yaml)
    _, trained, new = map(load_state_dict, files)
    copied = 0
    for name, value in result.items():
        origin = name.replace("control_model.", "model.diffusion_model.", 1)
        if not name.startswith("control_model."):
            assert torch.equal(value, new[name]), name
        elif origin in new:
            torch.testing.assert_close(value, new[origin] + 1)
            copied += 1
        else:  # hint encoder and zero convolutions
            assert torch.equal(value, trained[name]), name
    assert copied > 20 and f"control_model.{ENCODER}" in result
    create_model(micro_yaml, tmp_path / "moved.safetensors")  # complete


def test_onto_its_own_base_nothing_changes(files, micro_yaml, tmp_path):
    old, trained, _ = files
    result = run([old, trained, old], tmp_path / "same.ckpt", micro_yaml)
    for name, value in load_state_dict(trained).items():
        if name in result:
            torch.testing.assert_close(value, result[name])


def test_a_branch_without_its_base_is_enough(files, micro_yaml, tmp_path):
    old, trained, new = files
    expected = run(files, tmp_path / "a.safetensors", micro_yaml)
    save_weights(subset(load_state_dict(trained), ["control_model."]), tmp_path / "branch.ckpt")
    result = run([old, tmp_path / "branch.ckpt", new], tmp_path / "b.safetensors", micro_yaml)
    assert all(torch.equal(result[name], value) for name, value in expected.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_copies_of_a_base_in_16_bits_are_the_same(micro_weights, tmp_path, dtype):
    """Whichever of them a training started from; another base differs in any of them."""
    weights, path = load_state_dict(micro_weights), tmp_path / "branch.safetensors"
    start = {name: value.to(dtype).float() for name, value in weights.items()}
    save_weights({"a": torch.ones(1)}, path, {ENCODER_VALUES: encoder_values(start)})
    tuned = {name: value + 1e-4 for name, value in weights.items()}
    for other in (torch.float32, torch.float16, torch.bfloat16):
        refuse_other_base(path, path, {name: value.to(other) for name, value in weights.items()})
        with pytest.raises(RuntimeError, match="is another base"):
            refuse_other_base(path, path, {name: value.to(other) for name, value in tuned.items()})


@pytest.mark.parametrize(
    ("name", "note", "dtype"),
    [(ENCODER_VALUES, encoder_values, torch.bfloat16), (BASE_ENCODER, encoder_mark, torch.float16)],
)
def test_notes_tell_a_wrong_old_base(files, micro_yaml, tmp_path, error_line, name, note, dtype):
    """A branch alone has no U-Net to compare; in 16 bits a base is still the same."""
    old, trained, new = files
    weights = load_state_dict(old)
    branch, half = tmp_path / "branch.safetensors", tmp_path / "half.ckpt"
    save_weights({key: value.to(dtype) for key, value in weights.items()}, half)
    own = subset(load_state_dict(trained), ["control_model."])
    digest = sha256_of(old)
    notes = {STARTED_FROM: f"old.safetensors {digest}", name: note(weights)}
    save_weights(own, branch, notes)
    moved, config = tmp_path / "moved.ckpt", ("--config", micro_yaml)
    line = error_line(tool_transfer_control.main, new, branch, old, moved, *config)
    assert "branch.safetensors: its control branch was trained on old.safetensors (SHA-256 " in line
    assert f"{digest[:8]}...), but {new} is another base" in line and not moved.exists()
    run([half, branch, new], moved, micro_yaml)


def test_notes_of_older_versions_warn_of_another_file(files, micro_yaml, tmp_path, recwarn):
    old, trained, new = files
    own, branch = subset(load_state_dict(trained), ["control_model."]), tmp_path / "b.safetensors"
    save_weights(own, branch, {STARTED_FROM: f"old.safetensors {sha256_of(old)}"})
    run([old, branch, new], tmp_path / "right.ckpt", micro_yaml)
    assert not [w for w in recwarn if w.category is Notice]
    with pytest.warns(Notice, match=f"started from old.safetensors .*, and {new} is another file"):
        run([new, branch, old], tmp_path / "wrong.ckpt", micro_yaml)


def test_bases_in_half_precision(files, micro_yaml, tmp_path):
    old, trained, new = files
    for path in (old, new):
        save_weights(
            {name: value.half() for name, value in load_state_dict(path).items()},
            tmp_path / f"half_{path.name}",
        )
    halves = [tmp_path / f"half_{old.name}", trained, tmp_path / f"half_{new.name}"]
    result = run(halves, tmp_path / "moved.safetensors", micro_yaml)
    expected = load_state_dict(new)[f"model.diffusion_model.{ENCODER}"] + 1
    moved = result[f"control_model.{ENCODER}"]
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-3)


def test_bad_input_is_one_line(files, micro_yaml, tiny_yaml, tmp_path, error_line):
    old, trained, new = files
    output, config = tmp_path / "out.ckpt", ("--config", micro_yaml)

    def line(*words):
        return error_line(tool_transfer_control.main, *words)

    assert "none.ckpt: no such checkpoint" in line(
        old, tmp_path / "none.ckpt", new, output, *config
    )
    assert "new.ckpt exists" in line(*files, new, *config)
    assert ".safetensors" in line(*files, tmp_path / "out.bin", *config)
    assert "no such folder" in line(*files, tmp_path / "none" / "out.ckpt", *config)
    assert "tiny_sd15.yaml" in line(*files, output, "--config", tiny_yaml)
    assert "not trained on" in line(new, trained, old, output, *config)  # the bases swapped
    assert "old.safetensors lacks" in line(old, old, new, output, *config)  # no branch
    assert "trained.ckpt lacks" not in line(old, trained, tmp_path / "x.ckpt", output, *config)
    weights = load_state_dict(new)
    save_weights(subset(weights, ["model."]), tmp_path / "part.ckpt")
    assert "part.ckpt lacks" in line(old, trained, tmp_path / "part.ckpt", output, *config)
    save_weights(weights | {"model.diffusion_model.fuser": torch.ones(1)}, tmp_path / "more.ckpt")
    assert "more.ckpt: it has layers that the configuration lacks" in line(
        old, trained, tmp_path / "more.ckpt", output, *config
    )
    weights[f"model.diffusion_model.{ENCODER}"][0, 0] = torch.inf
    save_weights(weights, tmp_path / "inf.ckpt")
    assert "infinite" in line(old, trained, tmp_path / "inf.ckpt", output, *config)
    assert not output.exists()
