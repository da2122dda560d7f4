"""Token ids against known ones (measured with CLIP's original tokenizers), cutting and padding."""

import random
import sys

import pytest

from core.notices import Notice
from ldm.modules.encoders.tokenizer import (
    BOS,
    CONTEXT_LENGTH,
    EOS,
    VOCABULARY_SIZE,
    _bpe,
    notify_of_cut,
    tokenize,
)

KNOWN_IDS = {
    "a photo of a cat": [320, 1125, 539, 320, 2368],
    "electron microscopy, mitochondria": [33396, 38431, 267, 42132, 320],
    "best quality, extremely detailed": [949, 3027, 267, 6519, 12609],
    "cryo-EM 5nm/px": [2837, 334, 268, 2270, 276, 11370, 270, 10262],
    "don't": [847, 713],
    "2024": [273, 271, 273, 275],
    "MITOCHONDRIA": [42132, 320],
    "": [],
}


@pytest.mark.parametrize("pad", [EOS, 0])
@pytest.mark.parametrize("text", KNOWN_IDS)
def test_known_ids(text, pad):
    ids = [49406, *KNOWN_IDS[text], 49407]
    assert tokenize([text], pad).tolist() == [ids + [pad] * (77 - len(ids))]


@pytest.mark.parametrize("pad", [EOS, 0])
def test_long_text_is_cut_and_ends(pad):
    ids = tokenize(["word " * 200], pad)[0].tolist()
    assert ids == [BOS] + [2653] * 75 + [EOS]


def test_each_text_of_a_batch_is_padded_for_itself():
    texts = ["", "word " * 200, "2024"]
    assert tokenize(texts, EOS).tolist() == [tokenize([text], EOS)[0].tolist() for text in texts]
    assert tokenize(texts, EOS).shape == (3, CONTEXT_LENGTH)


def test_white_space_and_entities_are_cleaned():
    assert (
        tokenize(["  A\n photo\tOF a cat "], 0).tolist()
        == tokenize(["a photo of a cat"], 0).tolist()
    )
    assert tokenize(["cell &amp; nucleus"], 0).tolist() == tokenize(["cell & nucleus"], 0).tolist()


def test_any_text_gives_ids_of_the_vocabulary():
    ids = tokenize(["µm 電子顕微鏡 🔬 \x00\x1b[31m", "!" * 400, "ﬁb–sem"], 0)
    assert ids.min() >= 0 and ids.max() < VOCABULARY_SIZE


@pytest.mark.filterwarnings("error")
def test_cut_prompts_are_counted():
    fits, cut = "cell " * 75, "cell " * 76  # a token each
    notify_of_cut([fits, "Ä" * 30], "p.txt")
    with pytest.warns(Notice, match="2 of 3 prompts .* 75 .*first .76 tokens. is 'ce"):
        notify_of_cut([fits, cut, cut + "x"], "p.txt")


def test_the_package_of_the_tokenizer_is_not_imported(monkeypatch):
    for name in ("open_clip", "open_clip.tokenizer"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    _bpe.cache_clear()
    assert _bpe().encode("don't") == KNOWN_IDS["don't"]
    assert "open_clip" not in sys.modules


def test_ids_are_those_of_open_clip():
    from open_clip.tokenizer import SimpleTokenizer

    theirs, draw = SimpleTokenizer(), random.Random(0)
    words = [word.replace("</w>", "") for word in theirs.encoder]
    for _ in range(500):
        text = " ".join(draw.choices(words, k=draw.randrange(40)))
        letters = "".join(chr(draw.choice((0x20, 0x3000)) + draw.randrange(0x60)) for _ in text)
        for each in (text, letters):
            assert _bpe().encode(each) == theirs.encode(each), each
