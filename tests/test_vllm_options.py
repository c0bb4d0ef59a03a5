"""What is said of options that vLLM does not take: in one line, without all that it has."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from thoughtgraph.agents.models.inprocess.vllm_options import (
    check_names,
    default_arguments,
    model_config,
    refusal,
    sample_width,
)
from thoughtgraph.graph.errors import ModelUnavailableError, UserError

KNOWN = {f"field_{i}" for i in range(200)} | {"max_model_len", "max_num_seqs", "dtype"}


class Config(pydantic.BaseModel):
    max_model_len: int | None = None


class Arguments:
    """Takes options as `AsyncEngineArgs` does: what is wrong with them shows when the configuration is made."""

    def __init__(self, model: str, **options: Any) -> None:
        self.options = options

    def create_model_config(self) -> Any:
        return Config(**self.options)


@pytest.mark.parametrize(
    ("name", "near"), [("max_model_length", "did you mean 'max_model_len'"), ("bogus", "; there are adapter")]
)
def test_an_unknown_option_names_the_nearest_few_and_where_the_list_is(name: str, near: str) -> None:
    check_names(["dtype", "max_num_seqs"], KNOWN)
    with pytest.raises(UserError, match=f"unknown option '{name}' of vllm models") as refused:
        check_names(["dtype", name], KNOWN)
    assert near in str(refused.value)
    assert "vllm serve --help=all" in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_value_of_the_wrong_kind_is_told_in_one_line() -> None:
    with pytest.raises(UserError) as refused:
        model_config(Arguments, "base", {"max_model_len": "abc"})
    assert str(refused.value) == (
        "vLLM refuses 'base': max_model_len=abc: input should be a valid integer, unable to parse string as an integer"
    )
    with pytest.raises(UserError, match="vLLM refuses max_num_seqs=abc; give a whole number, 1 or more"):
        sample_width(default_arguments(False) | {"max_num_seqs": "abc"})


def test_other_errors_are_told_in_one_line_too() -> None:
    class Missing(Arguments):
        def create_model_config(self) -> Any:
            raise OSError("no config\n  at all")

    with pytest.raises(ModelUnavailableError, match="cannot load the model 'base': no config at all; check"):
        model_config(Missing, "base", {})
    assert refusal(RuntimeError()) == "RuntimeError"
