"""The reasoning graph and the LangGraph machine that grows it.

Importing this package loads nothing heavy: `records`, `errors` and `ids` are plain Python, and the machine
(which needs LangGraph) is imported where it is used.
"""
