"""Solve one puzzle with the model that ships in the package, and look at how it was found.

No key, no download, no GPU. In a notebook, put `result` on the last line of a cell: it draws itself.
"""

from thoughtgraph import solve

result = solve("2 3 7 9")  # make 24 of these four numbers

print(f"{result.question}: {result.answer} ({result.status})")
for step, score in zip(result.path, result.scores, strict=True):
    print(f"  {step:32} score {score:.2f}" if score is not None else f"  {step}")
print(f"{result.usage.model_calls} model calls, {result.usage.completion_tokens} tokens; run {result.run}")

print(result)  # the whole tree: what was tried, what was refuted and why
print(result.graph.to_mermaid(max_thoughts=5))  # and as a diagram for a README
