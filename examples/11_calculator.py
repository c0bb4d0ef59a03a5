"""Number puzzles with the exact calculator as the checker: which steps it refuted, and why.

Every equation that a step claims is recomputed in fractions; a wrong one is refuted, and nothing is grown from it. Each check is a tool call, and
each tool call a row: here they are read from the result, in SQL from the table `tool_call`. The calculator is there unless you leave it out
(`tools=False`, on the command line `--no-tools`).
"""

from thoughtgraph import solve

for puzzle in ("4 4 10 10", "1 2 4 6"):
    result = solve(puzzle, seed=1)
    graph = result.graph
    print(f"{result.question}: {result.answer} ({result.status}), {result.usage.tool_calls} tool calls")

    # for each thought, the calls that were made to check it
    refuted = [(id, call) for id, calls in graph.tool_calls.items() for call in calls if call.ok is False]
    for id, call in refuted[:4]:
        print(f"  step      {graph.thoughts[id].text}")
        print(f"  {call.tool}{dict(call.arguments)}: {call.result}")
    print(f"  {len(refuted)} steps refuted, each before anything was built on it")
