"""The tasks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..graph.errors import UnknownNameError, UserError
from .base import Task
from .settings import Settings


def _numbers(name: str) -> Callable[[str], Task]:
    def load(data: str) -> Task:
        from .numbers import NumbersTask

        _takes_none(name, data)
        return NumbersTask(name)

    return load


def _text(data: str) -> Task:
    from .text import TextTask

    _takes_none("text", data)
    return TextTask()


def _multihop(data: str) -> Task:
    from .families import MultihopDomain
    from .text import TextTask

    _takes_none("multihop", data)
    return TextTask(MultihopDomain())


def _code(data: str) -> Task:
    from .families import CodeDomain
    from .text import TextTask

    _takes_none("code", data)
    return TextTask(CodeDomain())


def _gsm8k(data: str) -> Task:
    from .gsm8k import Gsm8kTask

    return Gsm8kTask(data)


def _math(data: str) -> Task:
    from .mathematics import MathTask

    return MathTask(data)


def _hotpotqa(data: str) -> Task:
    from .hotpotqa import HotpotTask

    return HotpotTask(data)


def _humaneval(data: str) -> Task:
    from .programs import HumanEvalTask

    return HumanEvalTask(data)


def _mbpp(data: str) -> Task:
    from .programs import MbppTask

    return MbppTask(data)


def _text2sql(data: str) -> Task:
    from .text2sql import Text2SqlTask

    return Text2SqlTask(data)


TASKS: Mapping[str, Callable[[str], Task]] = {
    **{name: _numbers(name) for name in ("numbers", "game24", "countdown")},
    "text": _text,
    "math": _math,
    "multihop": _multihop,
    "code": _code,
    "gsm8k": _gsm8k,
    "hotpotqa": _hotpotqa,
    "humaneval": _humaneval,
    "mbpp": _mbpp,
    "text2sql": _text2sql,
}


def load_task(name: str, data: str = "") -> Task:
    """Return the task of this name.

    Args:
        name: one of `TASKS`.
        data: where its problems are, and for text2sql its databases: what `--data` says; "" for the usual places.

    Raises:
        UnknownNameError: if there is none of this name.
        UserError: if it takes no `data`.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[name](data)


def task_of(settings: Settings) -> Task:
    """Return the task of a run, with the data that it was given; raises as `load_task`."""
    return load_task(settings.task, settings.data)


def _takes_none(name: str, data: str) -> None:
    if data:
        raise UserError(
            f"the task {name!r} takes no --data; leave it out, or give a file: thoughtgraph run FILE --task {name}"
        )
