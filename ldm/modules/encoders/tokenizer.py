"""Text to token ids by CLIP's byte-pair encoding.

The vocabulary file comes with open_clip, so nothing is downloaded.
"""

from functools import lru_cache

import torch

BOS, EOS = 49406, 49407  # ids of the tokens that begin and end a text
VOCABULARY_SIZE = 49408
CONTEXT_LENGTH = 77  # tokens, BOS and EOS included


@lru_cache(maxsize=1)
def _bpe():
    from open_clip.tokenizer import SimpleTokenizer  # takes seconds to import

    return SimpleTokenizer()


def tokenize(texts: list[str], pad: int) -> torch.Tensor:
    """Ids (N, 77) int64: BOS, the text, EOS, then `pad`; longer texts are cut and end in EOS.

    CLIP tokenizers clean texts differently (HTML entities, control characters); this one does what
    open_clip does.

    Args:
        pad: EOS for SD 1.x, 0 for SD 2.x. The cross-attention reads the pads, so the value matters.
    """
    ids = _bpe()(texts, context_length=CONTEXT_LENGTH)  # (N, 77), padded with 0
    ends = ids == EOS
    after_end = ends.cumsum(dim=1) - ends.long() > 0  # (N, 77): right of the first EOS
    return ids.masked_fill(after_end, pad)  # (N, 77)


def tokenize_chunks(texts: list[str], pad: int, chunks: int) -> torch.Tensor:
    """Ids (N, chunks, 77) int64: the tokens of each text in parts of 75.

    Each part stands between BOS and EOS, like a text of its own. Parts beyond the text are empty.

    Args:
        pad: as in `tokenize`.
    Raises:
        ValueError: a text is too long for so many chunks.
    """
    size = CONTEXT_LENGTH - 2  # 75 tokens between BOS and EOS
    ids = torch.full((len(texts), chunks, CONTEXT_LENGTH), pad)  # (N, chunks, 77)
    ids[:, :, 0] = BOS
    for i, text in enumerate(texts):
        tokens = _bpe().encode(text)
        if len(tokens) > size * chunks:
            raise ValueError(
                f"prompt of {len(tokens)} tokens, expected at most {size * chunks}: {text[:60]!r}"
            )
        for j in range(chunks):
            part = tokens[j * size : (j + 1) * size]
            ids[i, j, 1 : 2 + len(part)] = torch.tensor([*part, EOS])
    return ids
