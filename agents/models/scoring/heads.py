"""The weights of a scoring model in this process: a transformers decoder, and a small head on its hidden states.

Four kinds of head are known, by what lies in the folder:

    score.weight                     *ForTokenClassification and *ForSequenceClassification, one or two labels
    score.0.*, score.2.*             Qwen2.5-Math-PRM and -RM: Linear, ReLU, Linear
    v_head.summary.*                 Skywork-o1-Open-PRM: Linear with bias
    the language model's own head    *ForCausalLM that answers with tokens such as + and -: only the rows of these are kept

Code that lies with a model is never executed. A head is applied only where numbers are read, in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ....graph.errors import ModelUnavailableError, UserError
from ..inprocess.loading import load_pretrained
from .formats import TraceFormat, format_of
from .trace_encoding import EncodedTrace

_CLASSIFIERS = ("ForTokenClassification", "ForSequenceClassification")
_MLP = ("Qwen2ForProcessRewardModel", "Qwen2ForRewardModel")
_V_HEAD = "v_head.summary."


@dataclass(frozen=True, slots=True)
class ScoringNetwork:
    """A base model with its head."""

    base: Any
    """Token ids to hidden states."""
    head: Any
    """A hidden state to one logit, or to those of bad and good."""
    causal: bool
    """Whether a number depends on earlier tokens only."""

    def rows(self, traces: Sequence[EncodedTrace], pad: int) -> list[list[list[float]]]:
        """Return the head's outputs at each position of each trace, from one forward pass over all, padded on the right."""
        import torch

        device = self.base.device
        width = max(len(trace.ids) for trace in traces)
        ids = torch.tensor(
            [[*trace.ids, *[pad] * (width - len(trace.ids))] for trace in traces], device=device
        )
        lengths = torch.tensor([[len(trace.ids)] for trace in traces], device=device)
        mask = (torch.arange(width, device=device)[None, :] < lengths).long()
        at = [(i, tag) for i, trace in enumerate(traces) for tag in trace.tags]
        with torch.inference_mode():
            hidden = self.base(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            outputs = iter(self.head(hidden[[i for i, _ in at], [tag for _, tag in at]].float()).tolist())
        return [[next(outputs) for _ in trace.tags] for trace in traces]


def read_config(source: str) -> Any:
    """Return the configuration of a model.

    Raises:
        ModelUnavailableError: if it cannot be read.
    """
    from transformers import AutoConfig

    try:
        return cast("Any", AutoConfig).from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelUnavailableError(
            f"cannot read the configuration of {source!r}: {reason.rstrip('.')}; check the name"
        ) from error


def detect_format(source: str, config: Any) -> str:
    """Return the name of the format that a model's architecture, or else its weights, call for.

    Raises:
        UserError: if they do not tell.
    """
    architecture = architecture_of(config)
    known = format_of(architecture) or ("skywork" if _tensors(source, _V_HEAD) else None)
    if known is not None:
        return known
    raise UserError(
        f"{source!r} is a {architecture or 'model of no known kind'}, with no head for scores; if it answers with tokens such as + and -, "
        "say how it is asked: ?format=plus_minus or ?format=rlhflow"
    )


def load_network(
    source: str,
    config: Any,
    format: TraceFormat,
    *,
    device: str,
    dtype: Any,
) -> ScoringNetwork:
    """Load a scoring model.

    Args:
        source: a folder, or OWNER/NAME on the hub.
        config: its configuration.
        format: how it reads traces; it names the answers of a model that has no head of its own.
        device: a torch device.
        dtype: a torch dtype, or `auto`.

    Raises:
        ModelUnavailableError: if the weights cannot be loaded, some are missing, or there is no head with one or two outputs.
    """
    architecture = architecture_of(config)
    if architecture.endswith(_CLASSIFIERS):
        network = _classifier(source, architecture, device, dtype)
    elif architecture in _MLP:
        network = _with_head(source, "score.", _mlp, device, dtype)
    elif _tensors(source, _V_HEAD):
        network = _with_head(source, _V_HEAD, _v_head, device, dtype)
    else:
        network = _answering(source, architecture, format, device, dtype)
    labels = _outputs(network.head)
    if labels not in (1, 2):
        raise ModelUnavailableError(
            f"the scorer at {source!r} has {labels} labels; a scoring model has 1, or 2: bad and good"
        )
    return network


def architecture_of(config: Any) -> str:
    """Return the name of the class that wrote a model, "" if it does not tell."""
    return str((config.architectures or [""])[0])


def _classifier(source: str, architecture: str, device: str, dtype: Any) -> ScoringNetwork:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification
    from transformers.modeling_layers import GenericForSequenceClassification, GenericForTokenClassification

    by_token = architecture.endswith(_CLASSIFIERS[0])
    kind = AutoModelForTokenClassification if by_token else AutoModelForSequenceClassification
    model: Any = load_pretrained(kind, source, device=device, dtype=dtype)
    # transformers' generic heads sit on causal decoders only; of other models no step's score is taken from a longer trace
    generic: tuple[Any, ...] = (GenericForTokenClassification, GenericForSequenceClassification)
    causal = isinstance(model, generic)
    if not causal and not by_token:
        raise ModelUnavailableError(
            f"the {architecture} at {source!r} pools its tokens in its own way; a scoring model is a causal decoder, read at its last token"
        )
    head = getattr(model, "score", None) or model.classifier
    return ScoringNetwork(model.base_model, head.float(), causal)


def _with_head(source: str, prefix: str, make: Any, device: str, dtype: Any) -> ScoringNetwork:
    from transformers import AutoModel

    base = load_pretrained(AutoModel, source, device=device, dtype=dtype)
    try:
        head = make(_tensors(source, prefix))
    except KeyError as error:
        raise ModelUnavailableError(
            f"the weights at {source!r} lack {error}, a part of its head; point to a whole checkpoint in safetensors"
        ) from error
    return ScoringNetwork(base, head.to(base.device).eval(), causal=True)


def _mlp(tensors: dict[str, Any]) -> Any:
    from torch import nn

    return nn.Sequential(_linear(tensors, "score.0."), nn.ReLU(), _linear(tensors, "score.2."))


def _v_head(tensors: dict[str, Any]) -> Any:
    return _linear(tensors, _V_HEAD)


def _linear(tensors: dict[str, Any], prefix: str) -> Any:
    """Return a linear layer with these weights, in float32."""
    import torch
    from torch import nn

    weight, bias = tensors[f"{prefix}weight"], tensors.get(f"{prefix}bias")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def _answering(
    source: str,
    architecture: str,
    format: TraceFormat,
    device: str,
    dtype: Any,
) -> ScoringNetwork:
    from transformers import AutoModelForCausalLM

    if format.answers is None:
        raise ModelUnavailableError(
            f"the weights at {source!r} ({architecture}) have no head for scores; the format {format.name} needs "
            "'score.weight', or take ?format=plus_minus or ?format=rlhflow if it answers with tokens"
        )
    model = load_pretrained(AutoModelForCausalLM, source, device=device, dtype=dtype)
    if getattr(model.config.get_text_config(), "final_logit_softcapping", None):
        raise ModelUnavailableError(
            f"the model at {source!r} caps its logits, which answers are not read through"
        )
    output, rows = model.get_output_embeddings(), list(format.answers)
    tensors = {"weight": output.weight[rows]}
    if getattr(output, "bias", None) is not None:
        tensors["bias"] = output.bias[rows]
    return ScoringNetwork(model.base_model, _linear(tensors, "").to(model.device).eval(), causal=True)


def _outputs(head: Any) -> int:
    from torch import nn

    last = head[-1] if isinstance(head, nn.Sequential) else head
    return int(cast("Any", last).out_features)


def _tensors(source: str, prefix: str) -> dict[str, Any]:
    """Return the weights whose names begin so, of a model's safetensors; none if it has no such files."""
    import huggingface_hub
    import safetensors

    hub, store = cast("Any", huggingface_hub), cast("Any", safetensors)  # partly untyped
    folder = Path(source)
    try:
        if not folder.is_dir():
            folder = Path(hub.snapshot_download(source, allow_patterns="*.safetensors"))
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelUnavailableError(
            f"cannot load the weights of {source!r}: {reason}; check the name"
        ) from error
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with store.safe_open(path, framework="pt") as file:
            names: list[str] = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            found |= {name: file.get_tensor(name) for name in names}
    return found
