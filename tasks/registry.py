"""The tasks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..graph.errors import UnknownNameError
from .base import Task


def _numbers(name: str) -> Callable[[], Task]:
    def load() -> Task:
        from .numbers import NumbersTask

        return NumbersTask(name)

    return load


def _text() -> Task:
    from .text import TextTask

    return TextTask()


def _math() -> Task:
    from .families import MathDomain
    from .text import TextTask

    return TextTask(MathDomain())


def _multihop() -> Task:
    from .families import MultihopDomain
    from .text import TextTask

    return TextTask(MultihopDomain())


def _code() -> Task:
    from .families import CodeDomain
    from .text import TextTask

    return TextTask(CodeDomain())


TASKS: Mapping[str, Callable[[], Task]] = {
    **{name: _numbers(name) for name in ("numbers", "game24", "countdown")},
    "text": _text,
    "math": _math,
    "multihop": _multihop,
    "code": _code,
}


def load_task(name: str) -> Task:
    """Return the task of this name.

    Raises:
        UnknownNameError: if there is none.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[name]()
