"""Agents act: generator, verifier, critic and tool user, over models that may be anywhere."""
