"""A word problem in which the model computes in Python: what one step defined, the next one uses.

A fenced block in a step is run, and the model reads what it printed and the value of its last line before it goes on. State follows the path: a
thought's children see its variables, its siblings do not, whatever the scheme grows at the same time. There are two tiers:

    toolbox=["python"]     an embedded interpreter in a worker process: no files, no network, no packages; runs anywhere
    toolbox=["sandbox"]    CPython behind bubblewrap, with NumPy and SymPy where they are installed: Linux

Options may follow: `"python?seconds=1"`, `"sandbox?seconds=20&memory_mb=1024"`.
"""

from thoughtgraph import ScriptedModel, solve
from thoughtgraph.agents.models.base import GenerationCall

QUESTION = (
    "A tank holds 500 litres and loses 3% of them each day. After how many days is it less than half full?"
)
CAREFUL = """```python
litres, left_a_day = 500, 0.97
```
```python
days, left = 0, litres
while left >= litres / 2:
    days, left = days + 1, left * left_a_day
days, round(left, 1)
```
Answer: 23
"""
HASTY = """```python
litres / 2
```
Half of it goes at 3 litres a day.
Answer: 83
"""


class Writer(ScriptedModel):
    """A chat model that goes on with its own unfinished turn, as models do that run on your machine."""

    continues = True


def write(call: GenerationCall) -> list[str]:
    """Answer in the model's place: go on with the solution that stands in its turns, at the beginning with either."""
    turns = () if isinstance(call.prompt, str) else call.prompt
    said = "".join(turn.content for turn in turns if turn.role == "assistant")
    fitting = [text.removeprefix(said) for text in (CAREFUL, HASTY) if text.startswith(said)]
    return [fitting[(call.first_sample + i) % len(fitting)] for i in range(call.n)]


result = solve(
    QUESTION,
    task="math",
    scheme="self_consistency",
    params={"n": 2},
    model=Writer(write, chat=True),
    toolbox=["python"],
)
print(result)
for calls in result.graph.tool_calls.values():
    for call in calls:
        print(f"--- {call.tool}\n{call.arguments['code'].rstrip()}\n--> {call.result or call.error}")
print(f"answer {result.answer}")
