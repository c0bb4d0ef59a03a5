"""Ports to language models and scoring models, and the scheduler that keeps them full."""
