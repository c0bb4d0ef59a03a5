r"""The shipped model's tokenizer: whole numbers, and punctuation with its spaces, as single tokens.

`4 * 5 = 20 (left: 6 10 20)` is 12 tokens, so a 4-number solution fits in about 40. Decoding is exact
concatenation. The step ends with the token `)\n`; `<|step|>` never occurs in text and is appended by id where
a step scorer reads its score.
"""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK, STEP = "<pad>", "<bos>", "<eos>", "<unk>", "<|step|>"
SPECIAL = (PAD, BOS, EOS, UNK, STEP)
PUNCTUATION = (")\n", "\n", " (left: ", " -> ", " + ", " - ", " * ", " / ", " = ", " ", "-", "/")
"""Longest first where one begins another; this order is the order of matching."""
STEP_END = ")\n"
LARGEST = 999
"""The largest number with a token of its own; longer ones fall to digits."""

_NUMBER = r"(?<!\d)(?:0|[1-9]\d{0,2})(?!\d)|\d"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of the numbers game; encoding puts `<bos>` in front, and no `<eos>` behind."""
    words = (*SPECIAL, *PUNCTUATION, *(str(n) for n in range(LARGEST + 1)))
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNK))
    punctuation = "|".join(_escape(p) for p in PUNCTUATION)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f"{punctuation}|{_NUMBER}"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, words.index(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        additional_special_tokens=[STEP],
        clean_up_tokenization_spaces=False,
        padding_side="right",
        model_max_length=256,
    )


def _escape(text: str) -> str:
    return "".join("\\n" if c == "\n" else "\\" + c if c in "()+*/-" else c for c in text)
