"""An MCP server with one tool, for 16_mcp_server.py; any other server, in any language, is used in the same way."""

from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations

server = FastMCP("stations", log_level="ERROR")
KILOMETRES = {("Lisbon", "Porto"): 337, ("Bergen", "Oslo"): 496}


# without this hint a call would count as one that may have an effect, and would never be repeated
@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def distance(start: str, end: str) -> int:
    """Return the length of the railway line between two cities, in kilometres."""
    return KILOMETRES[min(start, end), max(start, end)]


if __name__ == "__main__":
    server.run("stdio")
