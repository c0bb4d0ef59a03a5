"""A program, the tests that its question shows, and a model that reads which one failed.

The examples in the question become tests (HumanEval's format; `task="mbpp"` has its own). They run behind bubblewrap, in a process without network
or files, and what failed is a remark that the next attempt reads. The hidden tests that grade a benchmark are never seen by a search.
"""

import sys

from thoughtgraph import ScriptedModel, solve
from thoughtgraph.agents.models.base import GenerationCall
from thoughtgraph.agents.models.scripted import prompt_key
from thoughtgraph.tools.sandbox.boundary import probe

QUESTION = '''
def median(numbers: list) -> float:
    """ Return the median of a list of numbers.
    >>> median([3, 1, 2])
    2
    >>> median([4, 1, 3, 2])
    2.5
    """
'''
WRONG = """```python
def median(numbers):
    return sorted(numbers)[len(numbers) // 2]
```"""
RIGHT = """```python
def median(numbers):
    ordered, middle = sorted(numbers), len(numbers) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
```"""


def programmer(call: GenerationCall) -> list[str]:
    """Answer in the model's place: the right program once the failing test is among the remarks."""
    asked = prompt_key(call)
    if "first mistake" in asked:
        return ["Lists of even length have no single element in the middle."] * call.n
    return [RIGHT if "test 2 failed" in asked else WRONG] * call.n


if not probe().works:
    print(f"no sandbox here: {probe().why}")
    sys.exit()

model = ScriptedModel(programmer, chat=True)  # any chat model in its place
rules = {"rounds": 2, "stop_score": 1.0}  # stop at a program that passes what is shown
result = solve(QUESTION, task="humaneval", scheme="self_refine", params=rules, model=model)

for attempt in result.graph.path()[1:]:
    for call in result.graph.tool_calls[attempt.id]:
        print(f"{call.tool}: {call.result}")
print(f"stopped: {result.stopped}, score {result.score}, answer:\n{result.answer}")
