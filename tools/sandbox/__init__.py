"""Running what a model wrote behind real boundaries: an embedded interpreter, and a process of its own."""
