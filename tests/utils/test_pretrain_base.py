import signal

import pytest
import torch
from pytorch_lightning import Trainer

import tool_add_control
from cldm.model import create_model
from core.notices import Notice
from core.recording.run_lock import RunLock
from core.signals import StoppedForRequeue
from core.weights import checkpoints
from core.weights.checkpoints import load_state_dict
from training.base import unet, work_folder
from training.base.autoencoder import AutoencoderTraining
from training.base.unet import UNetTraining
from training.base.work_folder import WorkFolder
from utils import pretrain_base


def command(pairs, micro_yaml, output, *more):
    words = f"--image_path {pairs / 'images'} --config {micro_yaml} --output {output} "
    words += "--image_size 64 --vae_image_size 32 --vae_batch_size 2 --unet_batch_size 2"
    return [*words.split(), *map(str, more)]


def test_base_goes_through_tool_add_control(pairs, micro_yaml, tmp_path):
    base, ini = tmp_path / "base.safetensors", tmp_path / "ini.ckpt"
    pretrain_base.main(command(pairs, micro_yaml, base, "--vae_steps", 2, "--unet_steps", 2))
    tool_add_control.main([str(base), str(ini), "--config", str(micro_yaml)])
    create_model(micro_yaml, ini)


def test_init_adapts_the_unet_and_keeps_the_autoencoder(pairs, micro_yaml, micro_weights, tmp_path):
    base = tmp_path / "base.safetensors"
    with pytest.raises(RuntimeError, match="left over"):  # a base has no control branch
        pretrain_base.main(
            command(pairs, micro_yaml, base, "--vae_steps", 0, "--init", micro_weights)
        )
    pretrain_base.main(command(pairs, micro_yaml, base, "--vae_steps", 1, "--unet_steps", 1))
    adapted = tmp_path / "adapted.safetensors"
    pretrain_base.main(
        command(pairs, micro_yaml, adapted, "--vae_steps", 0, "--unet_steps", 3, "--init", base)
    )
    before, after = load_state_dict(base), load_state_dict(adapted)
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"model", "cond_stage_model"}


def test_a_decoder_alone_leaves_latents_and_unet_as_they_are(pairs, micro_yaml, tmp_path):
    base, sharper = tmp_path / "base.safetensors", tmp_path / "sharper.safetensors"
    pretrain_base.main(command(pairs, micro_yaml, base, "--vae_steps", 1, "--unet_steps", 1))
    words = "--vae_steps 2 --unet_steps 0 --vae_train decoder --adversarial_weight 0.5"
    pretrain_base.main(command(pairs, micro_yaml, sharper, "--init", base, *words.split()))
    before, after = load_state_dict(base), load_state_dict(sharper)
    assert before.keys() == after.keys()  # no discriminator among the weights
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    parts = {".".join(key.split(".")[:2]) for key in changed}
    assert parts == {"first_stage_model.decoder", "first_stage_model.post_quant_conv"}


def test_a_base_in_the_making_and_its_first_stage_are_not_overwritten(
    pairs, micro_yaml, tmp_path, error_line, monkeypatch
):
    output = tmp_path / "base.ckpt"
    words = command(pairs, micro_yaml, output, "--vae_steps", 1, "--unet_steps", 1)
    lock = RunLock.of_file(tmp_path / "base_training", "training a base")
    lock.acquire()
    for name in (output, output.with_suffix(".safetensors")):  # both would work in this folder
        line = error_line(pretrain_base.main, *words, "--output", name)
        assert f"{tmp_path}/base_training: process" in line
    lock.close()

    def write_meanwhile(lock):
        output.touch()

    with monkeypatch.context() as patch:  # the other process ends after the first look
        patch.setattr(RunLock, "acquire", write_meanwhile)
        assert f"{output}: exists already" in error_line(pretrain_base.main, *words)
    output.rename(tmp_path / "base_vae.ckpt")
    line = error_line(pretrain_base.main, *words)
    assert f"--output: {tmp_path}/base_vae.ckpt: exists already" in line
    # Without the first stage nothing goes there.
    words = [*words, "--vae_steps", 0, "--init", tmp_path / "base_vae.ckpt"]
    assert "cannot be read" in error_line(pretrain_base.main, *words)


def test_bad_input_is_one_line(pairs, micro_yaml, micro_weights, tmp_path, error_line):
    output = tmp_path / "base.safetensors"
    assert "--init must give" in error_line(
        pretrain_base.main, *command(pairs, micro_yaml, output, "--vae_steps", 0)
    )
    assert "--vae_train decoder keeps an encoder that --init must give" in error_line(
        pretrain_base.main, *command(pairs, micro_yaml, output, "--vae_train", "decoder")
    )
    first_left_out = ["--init", micro_weights, "--vae_steps", 0]
    for useless in (["--vae_train", "decoder"], ["--adversarial_weight", 1]):
        words = command(pairs, micro_yaml, output, *first_left_out, *useless)
        assert "--vae_steps 0 trains no autoencoder" in error_line(pretrain_base.main, *words)
    assert "exists" in error_line(pretrain_base.main, *command(pairs, micro_yaml, micro_weights))
    assert "cell_0.png: 64 x 64 pixels" in error_line(
        pretrain_base.main, *command(pairs, micro_yaml, output, "--image_size", 128)
    )
    assert "ends in .ckpt, .pth, .pt, .safetensors" in error_line(
        pretrain_base.main, *command(pairs, micro_yaml, tmp_path / "base.bin")
    )


def interrupt(monkeypatch, training, step, number=signal.SIGINT):
    """Let a stage receive a signal, Ctrl-C for one, in the step of this number."""
    original = training.training_step

    def training_step(self, batch, batch_idx):
        if batch_idx == step:
            signal.raise_signal(number)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(training, "training_step", training_step)


@pytest.mark.parametrize("training", [AutoencoderTraining, UNetTraining])
@pytest.mark.parametrize("step", [2, 4])  # in the middle, and the last one
def test_a_stopped_base_goes_on_to_the_same_weights(
    pairs, micro_yaml, tmp_path, monkeypatch, caplog, training, step
):
    words = "--vae_steps 5 --unet_steps 5 --adversarial_weight 0.5 --ema_decay 0.7".split()
    whole, stopped = tmp_path / "whole.safetensors", tmp_path / "stopped.safetensors"
    pretrain_base.main(command(pairs, micro_yaml, whole, *words))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, training, step)
        pretrain_base.main(command(pairs, micro_yaml, stopped, *words))
    assert not stopped.exists()
    pretrain_base.main(command(pairs, micro_yaml, stopped, *words))
    assert f"last.ckpt is of step {step + 1}; the same command goes on" in caplog.text
    assert f"going on after step {step + 1} of 5" in caplog.text
    assert not (tmp_path / "stopped_training").exists()
    for suffix in ("", "_vae"):
        before = load_state_dict(tmp_path / f"whole{suffix}.safetensors")
        after = load_state_dict(tmp_path / f"stopped{suffix}.safetensors")
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_base_that_could_not_be_written_is_written_by_the_next_call(
    pairs, micro_yaml, tmp_path, monkeypatch
):
    words = "--vae_steps 2 --unet_steps 3 --ema_decay 0.9".split()
    whole, late = tmp_path / "whole.safetensors", tmp_path / "late.safetensors"
    pretrain_base.main(command(pairs, micro_yaml, whole, *words))
    save = checkpoints.save_weights

    def disk_full(weights, path, *notes):
        if path == late:
            raise OSError("the disk is full")
        save(weights, path, *notes)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(checkpoints, "save_weights", disk_full)
        pretrain_base.main(command(pairs, micro_yaml, late, *words))
    pretrain_base.main(command(pairs, micro_yaml, late, *words))
    before, after = load_state_dict(whole), load_state_dict(late)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_stopped_base_goes_on_with_the_same_options_and_images_alone(
    pairs, micro_yaml, tmp_path, monkeypatch, error_line
):
    output = tmp_path / "base.safetensors"
    words = "--vae_steps 4 --unet_steps 1 --save_every 1".split()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, AutoencoderTraining, step=1)
        pretrain_base.main(command(pairs, micro_yaml, output, *words))
    for more in (["--seed", 4], ["--seed", 4, "--dry_run"]):
        line = error_line(pretrain_base.main, *command(pairs, micro_yaml, output, *words, *more))
        assert f"{tmp_path}/base_training: since the pre-training was stopped, --seed dif" in line
    added = pairs / "images" / "later.png"
    added.write_bytes((pairs / "images" / "cell_0.png").read_bytes())
    line = error_line(pretrain_base.main, *command(pairs, micro_yaml, output, *words))
    assert "1 file(s) (later.png) added to the images" in line
    added.unlink()
    text = micro_yaml.read_text()
    micro_yaml.write_text(text.replace("linear_start: 0.00085", "linear_start: 0.002"))
    line = error_line(pretrain_base.main, *command(pairs, micro_yaml, output, *words))
    assert "the file of --config was changed" in line
    micro_yaml.write_text(text)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cell\n")
    more = [*words, "--prompts_file", str(prompts)]
    line = error_line(pretrain_base.main, *command(pairs, micro_yaml, output, *more))
    assert "--prompts_file was added" in line
    moved = micro_yaml.with_name("moved.yaml")  # from which the same is read
    moved.write_text(f"# of the microscope\n{text}")
    pretrain_base.main(command(pairs, moved, output, *words, "--save_every", 3))
    assert output.exists()


def test_a_job_that_is_to_be_requeued_says_so(pairs, micro_yaml, tmp_path, monkeypatch):
    words = command(pairs, micro_yaml, tmp_path / "base.ckpt", "--vae_steps", 4)
    with monkeypatch.context() as patch, pytest.raises(StoppedForRequeue):
        interrupt(patch, AutoencoderTraining, step=1, number=signal.SIGUSR1)
        pretrain_base.main(words)


def test_a_job_that_is_to_be_requeued_between_the_stages_says_so(
    pairs, micro_yaml, tmp_path, monkeypatch
):
    words = command(pairs, micro_yaml, tmp_path / "base.ckpt", "--vae_steps", 1, "--unet_steps", 1)
    save, before = unet.save_halfway, signal.getsignal(signal.SIGUSR1)

    def save_halfway(*arguments):
        save(*arguments)
        signal.raise_signal(signal.SIGUSR1)

    with monkeypatch.context() as patch, pytest.raises(StoppedForRequeue):
        patch.setattr(unet, "save_halfway", save_halfway)
        pretrain_base.main(words)
    assert signal.getsignal(signal.SIGUSR1) == before
    pretrain_base.main(words)
    assert (tmp_path / "base.ckpt").exists()


def test_a_job_whose_weights_are_written_is_not_requeued(pairs, micro_yaml, tmp_path, monkeypatch):
    words = command(pairs, micro_yaml, tmp_path / "base.ckpt", "--vae_steps", 1, "--unet_steps", 1)
    remove = WorkFolder.remove

    def signalled(self):
        signal.raise_signal(signal.SIGUSR1)
        remove(self)

    monkeypatch.setattr(WorkFolder, "remove", signalled)
    pretrain_base.main(words)
    assert (tmp_path / "base.ckpt").exists() and not (tmp_path / "base_training").exists()


def test_a_stop_that_saved_nothing_says_so(pairs, micro_yaml, tmp_path, monkeypatch, caplog):
    words = command(pairs, micro_yaml, tmp_path / "base.ckpt", "--vae_steps", 4)

    def training_step(self, batch, batch_idx):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AutoencoderTraining, "training_step", training_step)
        pretrain_base.main(words)
    assert "stopped: nothing is saved yet" in caplog.text


def test_a_save_that_was_cut_off_does_not_count(pairs, micro_yaml, tmp_path, monkeypatch, caplog):
    """Twice Ctrl-C: in a step, and while the checkpoint after that is written."""
    words = command(pairs, micro_yaml, tmp_path / "base.ckpt", "--vae_steps", 4, "--save_every", 1)
    save = Trainer.save_checkpoint

    def save_checkpoint(self, path, *args, **options):
        if self.global_step == 2:
            signal.raise_signal(signal.SIGINT)
        save(self, path, *args, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, AutoencoderTraining, step=1)
        patch.setattr(Trainer, "save_checkpoint", save_checkpoint)
        pretrain_base.main(words)
    assert "last.ckpt is of step 1; the same command goes on" in caplog.text


def test_an_autoencoder_of_somebody_else_is_not_overwritten(
    pairs, micro_yaml, tmp_path, monkeypatch
):
    output, halfway = tmp_path / "base.ckpt", tmp_path / "base_vae.ckpt"
    words = command(pairs, micro_yaml, output, "--vae_steps", 2, "--unet_steps", 1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, AutoencoderTraining, step=0)
        pretrain_base.main(words)
    halfway.write_bytes(b"of somebody else")
    with pytest.raises(FileExistsError, match="base_vae.ckpt: the trained autoencoder goes there"):
        pretrain_base.main(words)
    assert halfway.read_bytes() == b"of somebody else"
    halfway.unlink()
    pretrain_base.main(words)
    assert output.exists() and halfway.exists()


def test_weights_are_written_where_the_folder_of_the_work_cannot_be_deleted(
    pairs, micro_yaml, tmp_path, monkeypatch
):
    def refused(folder):
        raise OSError("busy")

    monkeypatch.setattr(work_folder, "_delete", refused)
    output = tmp_path / "base.ckpt"
    with pytest.warns(Notice, match="base_training is no longer needed, but cannot be deleted"):
        pretrain_base.main(command(pairs, micro_yaml, output, "--vae_steps", 1, "--unet_steps", 1))
    assert output.exists()


@pytest.mark.parametrize("place", ["", "first"])
def test_a_folder_of_somebody_else_is_left_alone(pairs, micro_yaml, tmp_path, error_line, place):
    output, folder = tmp_path / "base.safetensors", tmp_path / "base_training" / place
    folder.mkdir(parents=True)
    (folder / "last.ckpt").touch()
    for more in ([], ["--dry_run"]):
        line = error_line(pretrain_base.main, *command(pairs, micro_yaml, output, *more))
        assert f"{tmp_path}/base_training: is where a pre-training keeps its work, but" in line
    assert (folder / "last.ckpt").exists()


def test_a_base_that_ended_before_its_first_save_starts_anew(
    pairs, micro_yaml, tmp_path, error_line
):
    output, missing = tmp_path / "base.safetensors", tmp_path / "no.ckpt"
    words = command(pairs, micro_yaml, output, "--vae_steps", 1, "--unet_steps", 1)
    assert str(missing) in error_line(pretrain_base.main, *words, "--init", missing)
    pretrain_base.main(words)
    assert output.exists()
