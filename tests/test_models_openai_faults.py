"""What the words and numbers of a failed request mean."""

from email.utils import formatdate
from time import time

import pytest

from thoughtgraph.agents.models.remote.faults import ACTIONS, Kind, error_fault, retry_after, status_fault
from thoughtgraph.agents.models.remote.served import nearest_first, same_model

OPENAI = (
    '{"error": {"message": "This model\'s maximum context length is 4097 tokens. However, you requested 4927 tokens (3927 in the messages, '
    '1000 in the completion).", "code": "context_length_exceeded"}}'
)
OPENAI_NEW = (
    '{"error": {"message": "Input tokens exceed the configured limit of 4097 tokens. Your messages resulted in 3927 tokens.", '
    '"code": "context_length_exceeded"}}'
)
VLLM = (
    '{"error": {"message": "This model\'s maximum context length is 4097 tokens. However, your prompt contains at least 3927 input tokens, '
    'which exceeds this limit even without any output tokens.", "type": "BadRequestError", "code": 400}}'
)
VLLM_ENGINE = '{"error": {"message": "The decoder prompt (length 3927) is longer than the maximum model length of 4097."}}'
LLAMA_CPP = (
    '{"error": {"code": 400, "message": "the request exceeds the available context size, try increasing it", '
    '"type": "exceed_context_size_error", "n_prompt_tokens": 3927, "n_ctx": 4097}}'
)
LLAMA_CPP_NEW = (
    '{"error": {"message": "request (3927 tokens) exceeds the available context size (4097 tokens)"}}'
)
SGLANG = '{"message": "The input (3927 tokens) is longer than the model\'s context length (4097 tokens).", "code": 400}'
SGLANG_TOTAL = (
    '{"message": "Requested token count exceeds the model\'s maximum context length of 4097 tokens. You requested a total of 4927 tokens: '
    '3927 tokens from the input messages and 1000 tokens for the completion."}'
)


@pytest.mark.parametrize(
    "body", [OPENAI, OPENAI_NEW, VLLM, VLLM_ENGINE, LLAMA_CPP, LLAMA_CPP_NEW, SGLANG, SGLANG_TOTAL]
)
def test_a_prompt_that_does_not_fit_is_told_with_its_tokens(body: str) -> None:
    fault = status_fault(400, {}, body.encode())
    assert fault.kind == "context"
    assert "the prompt has 3927 tokens, the context 4097" in str(fault)


def test_characters_are_not_taken_for_tokens() -> None:
    body = b'{"error": {"message": "maximum context length is 256 tokens. However, your prompt contains 9000 characters"}}'
    fault = status_fault(400, {}, body)
    assert fault.kind == "context"
    assert "the prompt has" not in str(fault)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, '{"error": {"message": "the body is not valid JSON"}}', "garbled"),
        (400, '{"error": {"message": "We could not parse the JSON body of your request."}}', "garbled"),
        (400, '{"error": {"message": "temperature must be positive"}}', "refused"),
        (413, "<html><title>Too large</title></html>", "refused"),
        (422, '{"detail": [{"loc": ["body", "n"], "msg": "too many"}]}', "refused"),
        (401, "", "account"),
        (402, '{"error": "pay"}', "account"),
        (403, '{"error": {"message": "no"}}', "account"),
        (403, '{"error": {"message": "Your input was flagged"}}', "refused"),
        (403, '{"error": {"message": "You are not allowed to request logprobs from this model"}}', "refused"),
        (404, "<html>nginx</html>", "not_found"),
        (405, "", "not_found"),
        (408, "", "server_error"),
        (429, "", "busy"),
        (429, '{"error": {"message": "quota", "code": "insufficient_quota"}}', "account"),
        (500, "<html>oops</html>", "server_error"),
        (501, '{"error": {"message": "The model does not support Classification API"}}', "unsupported"),
        (501, "<html>Not Implemented</html>", "unsupported"),
        (400, '{"error": {"message": "The model does not support Chat Completions API"}}', "unsupported"),
        (400, '{"error": {"message": "this model does not support tools"}}', "refused"),
        (503, "", "server_error"),
        (529, '{"error": {"type": "overloaded_error"}}', "server_error"),
        (307, "", "redirected"),
    ],
)
def test_what_a_status_means(status: int, body: str, kind: Kind) -> None:
    fault = status_fault(status, {}, body.encode())
    assert fault.kind == kind
    assert fault.action == ACTIONS[kind]
    assert "\n" not in str(fault)
    assert "<" not in str(fault)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "overloaded"}, "server_error"),
        ({"message": "slow down", "code": 429}, "busy"),
        ({"message": "pay", "code": "insufficient_quota"}, "account"),
        ({"message": "bad", "code": 400}, "refused"),
        ({"message": "not here", "code": 501}, "unsupported"),
        ("failed", "server_error"),
    ],
)
def test_what_an_error_with_status_200_means(error: object, kind: Kind) -> None:
    assert error_fault(error).kind == kind


def test_both_forms_of_retry_after() -> None:
    assert retry_after({"retry-after": "7"}) == 7.0
    assert retry_after({"retry-after-ms": "250", "retry-after": "1"}) == 0.25
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "-3"}) is None
    assert retry_after({}) is None
    # their clock may be wrong by a day: what counts is how far the two dates of the reply are apart
    skewed = time() + 86400
    dates = {"retry-after": formatdate(skewed + 20, usegmt=True), "date": formatdate(skewed, usegmt=True)}
    assert retry_after(dates) == 20.0
    without = retry_after({"retry-after": formatdate(time() + 100, usegmt=True)})
    assert without is not None
    assert 90 < without <= 100
    assert retry_after({"retry-after": formatdate(time() - 100, usegmt=True)}) == 0.0


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("gpt-5-mini", "gpt-5-mini", True),
        ("gpt-5-mini", "gpt-5-mini-2025-08-07", True),
        ("openai/gpt-5-mini", "gpt-5-mini-2025-08-07", True),
        ("gpt-4", "gpt-4-0613", True),
        ("claude", "claude@20250101", True),
        ("Qwen/Qwen3-8B", "qwen3-8b", True),
        ("Qwen/Qwen3-8B", "/models/Qwen3-8B/", True),
        ("a/b:free", "a/b", True),
        ("mistral-large-latest", "mistral-large-2411", True),
        ("gpt-4", "gpt-4-32k", False),
        ("gpt-5", "gpt-5-mini", False),
        ("gpt-5-mini", "gpt-5", False),
        ("gpt-5-mini-2025-08-07", "gpt-5-mini", False),
        ("llama-3", "llama-3-70b", False),
        ("m", "alias", True),
        ("m", "other", False),
    ],
)
def test_which_names_are_the_same_model(asked: str, answered: str, same: bool) -> None:
    assert same_model(asked, answered, ("alias",)) is same


def test_names_are_listed_nearest_first() -> None:
    names = [f"other-{i}" for i in range(20)] + ["qwen3-8b"]
    assert nearest_first("Qwen3-8b-it", names).startswith("qwen3-8b, ")
    assert nearest_first("Qwen3-8b-it", names).endswith(" and 13 more")
