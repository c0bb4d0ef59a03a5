"""Search with a scheme of your own, composed of parts in 10_own_scheme.yaml.

On the command line: `thoughtgraph solve "2 3 7 9" --scheme examples/10_own_scheme.yaml --param n=6`, and
`thoughtgraph schemes examples/10_own_scheme.yaml` explains it.
"""

from pathlib import Path

from thoughtgraph import solve
from thoughtgraph.graph.schemes import get_scheme

FILE = str(Path(__file__).with_suffix(".yaml"))

scheme = get_scheme(FILE)
print(f"{scheme.name}: {scheme.summary}")
print(f"  {scheme.structure}, {scheme.strategy}: {', '.join(scheme.operators)}")

for n in (2, 6):
    result = solve("2 3 7 9", scheme=FILE, params={"n": n}, seed=1)
    calls, tokens = result.usage.model_calls, result.usage.completion_tokens
    print(f"n={n}: {result.answer} ({result.status}), {calls} calls, {tokens} tokens")
