"""The tools of an MCP server: it is started, asked what it has, called while a search runs, and ended with it.

What other programs keep in an `mcpServers` file works here: `toolbox=["mcp:servers.json"]`, or on the command line `--tool mcp:servers.json`. A server
gets the variables of the environment that its entry names, and none of your keys. Needs `pip install 'thoughtgraph[mcp]'`.
"""

import sys
from pathlib import Path

from thoughtgraph import ScriptedModel, solve
from thoughtgraph.tools.adapters.mcp import mcp_tools

SERVER = Path(__file__).with_name("16_mcp_server_tools.py")

tools = mcp_tools({"mcpServers": {"stations": {"command": sys.executable, "args": [str(SERVER)]}}})
for tool in tools:
    print(
        f"{tool.name}({', '.join(tool.parameters['properties'])}), effect {tool.effect}: {tool.description}"
    )

# says one step after the other; any chat model in its place
model = ScriptedModel(
    [
        'I look the line up. <<stations_distance: {"start": "Porto", "end": "Lisbon"}>>',
        "There and back, twice: 4 * 337 = 1348.",
        "Answer: 1348",
    ],
    chat=True,
)
question = "How many kilometres is it from Porto to Lisbon and back, twice?"
result = solve(question, task="text", scheme="cot", model=model, toolbox=tools)
print(result)
for calls in result.graph.tool_calls.values():
    for call in calls:
        print(f"{call.tool}{dict(call.arguments)} -> {call.result or call.error}")
