"""What tests of scoring models share: a small tokenizer of bytes with all marks, and small random models of every kind, saved to a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

store: Any = safetensors.torch  # partly untyped

TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>", "<extra_0>", "<|step|>")
QUESTION = "How many are 3 dozen?\n"
STEPS = ("3 * 12 = 36", "36 + 0 = 36", "The answer is 36")
OTHER = ("3 + 12 = 15", "The answer is 15")


def make_tokenizer(*, chat: bool = True, special: tuple[str, ...] = SPECIAL, ink: str = "ки") -> Any:
    """Return a tokenizer of bytes: its ids are the special tokens, then 256 bytes, then the mark `ink`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate((*special, *alphabet))}
    tokenizer: Any = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(ink, normalized=False)])
    made: Any = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
    made.chat_template = TEMPLATE if chat else None
    return made


def save_model(folder: Path, kind: str, tokenizer: Any = None, *, seed: int = 0, **config: Any) -> Path:
    """Save a random model of a class of transformers, such as `LlamaForTokenClassification`, with its tokenizer."""
    tokenizer = tokenizer or make_tokenizer()
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    family: Any = transformers.Qwen2Config if kind.startswith("Qwen2") else transformers.LlamaConfig
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "num_labels": 1,
        "classifier_dropout": 0.0,
        "token_classification_bias": False,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
    }
    model: Any = getattr(transformers, kind)
    model(family(**shape | config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_reward_model(
    folder: Path, architecture: str = "Qwen2ForProcessRewardModel", labels: int = 2
) -> Path:
    """Save a model as Qwen does theirs: a base model, and Linear, ReLU, Linear on it; with code of its own, which nobody may run."""
    save_model(folder, "Qwen2ForCausalLM")
    tensors = _head("score.0.", 64, 64) | _head("score.2.", labels, 64, seed=1)
    _replace(folder, {"lm_head.weight"}, tensors)
    trap = {"AutoModel": "modeling_trap.Trap", "AutoConfig": "modeling_trap.TrapConfig"}
    _configure(folder, architectures=[architecture], num_labels=labels, auto_map=trap)
    (folder / "modeling_trap.py").write_text("raise SystemExit('code that lies with a model was run')\n")
    return folder


def save_v_head(folder: Path) -> Path:
    """Save a model as Skywork does theirs: a causal language model, and a linear head with bias beside it."""
    save_model(folder, "Qwen2ForCausalLM")
    _replace(folder, set(), _head("v_head.summary.", 1, 64))
    _configure(folder, architectures=["Qwen2ForPrmModel"])
    return folder


def _head(prefix: str, outputs: int, inputs: int, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed + 7)
    weight = torch.randn(outputs, inputs, generator=generator) * 0.3
    return {f"{prefix}weight": weight, f"{prefix}bias": torch.randn(outputs, generator=generator) * 0.3}


def _replace(folder: Path, without: set[str], tensors: dict[str, Any]) -> None:
    file = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in store.load_file(file).items() if name not in without}
    store.save_file(kept | tensors, file, metadata={"format": "pt"})


def _configure(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
