"""ThoughtGraph: multi-agent reasoning by search over thoughts."""
