"""Switches of the published demonstrations: layers that are skipped, prompts in chunks."""

import logging

import pytest
import torch

from cldm.ddim_hacked import DDIMSampler
from cldm.hack import disable_verbosity, enable_sliced_attention, hack_everything
from ldm.modules.encoders.modules import FrozenCLIPEmbedder
from ldm.modules.encoders.tokenizer import BOS, EOS, tokenize, tokenize_chunks

LONG = "word " * 100  # one token each


@pytest.fixture(autouse=True)
def unchanged(monkeypatch):
    """Undo what a test switches on, because it holds for the whole process."""
    monkeypatch.setattr(FrozenCLIPEmbedder, "clip_skip", 0)
    monkeypatch.setattr(FrozenCLIPEmbedder, "chunks", 1)


@pytest.fixture
def encoder():
    return FrozenCLIPEmbedder(width=16, layers=3, heads=2)


def test_tokens_of_a_long_prompt_fill_the_chunks():
    ids = tokenize_chunks([LONG, ""], EOS, 3)
    assert ids.shape == (2, 3, 77)
    assert ids[0, 0].tolist() == [BOS] + [2653] * 75 + [EOS]
    assert ids[0, 1].tolist() == [BOS] + [2653] * 25 + [EOS] * 51
    assert ids[0, 2].tolist() == ids[1, 0].tolist() == [BOS] + [EOS] * 76
    with pytest.raises(ValueError, match="prompt of 100 tokens, expected at most 75: 'word"):
        tokenize_chunks([LONG], EOS, 1)


@pytest.mark.parametrize("pad", [EOS, 0])
def test_one_chunk_is_the_plain_prompt(pad):
    texts = ["A photo\tof &amp; a  cat", "", "cryo-EM 5nm/px"]
    assert torch.equal(tokenize_chunks(texts, pad, 1)[:, 0], tokenize(texts, pad))


def test_contexts_of_chunks_stand_one_behind_the_other(encoder):
    plain = encoder(["word " * 75, "word " * 25, ""])
    hack_everything()
    context = encoder([LONG, ""])
    assert context.shape == (2, 3 * 77, 16)
    torch.testing.assert_close(context[0], plain.flatten(0, 1))
    torch.testing.assert_close(context[1], plain[2].repeat(3, 1))


def test_clip_skip_reads_an_earlier_layer(encoder):
    tokens = tokenize(["a cell"], EOS)
    text_model = encoder.transformer.text_model
    states = [text_model.final_layer_norm(state) for state in text_model(tokens)]
    for clip_skip in range(5):
        hack_everything(clip_skip=clip_skip, chunks=1)
        assert torch.equal(encoder(["a cell"]), states[-max(clip_skip, 1)])
    hack_everything(clip_skip=5, chunks=1)
    with pytest.raises(ValueError, match="clip_skip 5, expected at most 4"):
        encoder(["a cell"])


@pytest.mark.parametrize("options", [{"clip_skip": -1}, {"chunks": 0}])
def test_numbers_below_the_least_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        hack_everything(**options)
    assert FrozenCLIPEmbedder.chunks == 1


@torch.no_grad()
def test_a_model_samples_with_a_long_prompt(shared_tiny_cldm):
    hack_everything(clip_skip=2)
    model, hint = shared_tiny_cldm, torch.rand(1, 3, 64, 64)
    cond, uncond = (
        {"c_crossattn": [model.get_learned_conditioning([text])], "c_concat": [hint]}
        for text in (LONG, "")
    )
    samples, _ = DDIMSampler(model).sample(
        2,
        1,
        (4, 8, 8),
        cond,
        unconditional_guidance_scale=9.0,
        unconditional_conditioning=uncond,
        verbose=False,
    )
    assert samples.isfinite().all()


def test_libraries_only_log_errors():
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    try:
        disable_verbosity()
        assert not logging.getLogger("pytorch_lightning.trainer").isEnabledFor(logging.WARNING)
    finally:
        logger.setLevel(before)
    enable_sliced_attention()
