"""Pure search policies: ask what to do next, tell what came of it."""
