"""Tools of others as ours: typed functions, LangChain tools, MCP servers."""
