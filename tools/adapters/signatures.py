"""From a function's signature to the arguments that a model may write: a pydantic model of them, and what the docstring says of each."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import PydanticJsonSchemaWarning

from ...graph.errors import UserError
from .common import without_titles

_SECTION = re.compile(
    r"(args|arguments|parameters|params|returns?|yields?|raises|examples?|notes?|attributes|references|see also|warnings?)\s*:\s*",
    re.IGNORECASE,
)
_ARGUMENTS = frozenset({"args", "arguments", "parameters", "params"})
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")

_UNSUPPORTED = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only; remove the '/', a model writes arguments by name",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of values; make it one parameter that is a list",
    inspect.Parameter.VAR_KEYWORD: "takes any names; write out the parameters, or make it one that is a dict",
}


class Arguments:
    """The arguments of a function, as a model writes them and as the function takes them.

    Args:
        function: any callable with annotated parameters.
        whose: how errors name it.
        told: descriptions of parameters, by name.

    Raises:
        UserError: naming the parameter that cannot be one of a tool's, and the remedy.
    """

    def __init__(self, function: Callable[..., Any], whose: str, told: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {}
        fields: dict[str, Any] = {}
        for index, parameter in enumerate(_parameters(function, whose)):
            # an own name for each field: one like `json` or `_x` is none that a model of pydantic may have
            self._names[f"argument_{index}"] = parameter.name
            fields[f"argument_{index}"] = _field(parameter, whose, told.get(parameter.name))
        self._model: type[BaseModel] = create_model(
            "Arguments", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PydanticJsonSchemaWarning)  # a default without JSON is left out
            schema = without_titles(self._model.model_json_schema())
        schema.setdefault("properties", {})
        return schema

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function takes them, by name; those not given are left to its defaults.

        Raises:
            ValidationError: on arguments that do not fit.
        """
        values = self._model.model_validate(dict(arguments))
        return {self._names[name]: getattr(values, name) for name in values.model_fields_set}


def _parameters(function: Callable[..., Any], whose: str) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise UserError(
            f"an annotation of {whose} cannot be read ({error}); import its name at the top of the module"
        ) from None
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{whose} has no signature ({error}); wrap it in a function with annotations"
        ) from None
    for parameter in signature.parameters.values():
        problem = _UNSUPPORTED.get(parameter.kind)
        if problem is None and parameter.annotation is inspect.Parameter.empty:
            problem = f"has no type; write `{parameter.name}: str`, or whatever it is"
        if problem is not None:
            raise UserError(f"the parameter {parameter.name!r} of {whose} {problem}")
    return list(signature.parameters.values())


def _field(parameter: inspect.Parameter, whose: str, told: str | None) -> tuple[Any, Any]:
    annotation = parameter.annotation
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
            TypeAdapter(annotation).json_schema()
    except PydanticUserError:
        shown = inspect.formatannotation(annotation)
        raise UserError(
            f"the parameter {parameter.name!r} of {whose} is of the type {shown}, which cannot be written as JSON; "
            "make it text, a number, a list, a dict or a pydantic model"
        ) from None
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    if told and not _described(annotation):
        return annotation, Field(default, alias=parameter.name, description=told)
    return annotation, Field(default, alias=parameter.name)


def _described(annotation: Any) -> bool:
    if get_origin(annotation) is not Annotated:
        return False
    return any(isinstance(one, FieldInfo) and one.description for one in get_args(annotation)[1:])


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return what a Google-style docstring says before its sections, and of each argument in its section `Args:`."""
    lines = inspect.cleandoc(text).splitlines()
    heads = [i for i, line in enumerate(lines) if _SECTION.fullmatch(line)]
    summary = "\n".join(lines[: heads[0]] if heads else lines).strip()
    told: dict[str, list[str]] = {}
    for start, end in pairwise([*heads, len(lines)]):
        if lines[start].strip().rstrip(":").strip().lower() in _ARGUMENTS:
            _read_entries(inspect.cleandoc("\n" + "\n".join(lines[start + 1 : end])).splitlines(), told)
    return summary, {name: " ".join(parts).strip() for name, parts in told.items()}


def _read_entries(lines: list[str], told: dict[str, list[str]]) -> None:
    current: list[str] = []
    for line in lines:
        entry = None if line.startswith((" ", "\t")) else _ENTRY.fullmatch(line)
        if entry is not None:
            current = told.setdefault(entry[1], [])
            current.append(entry[2])
        else:
            current.append(line.strip())
