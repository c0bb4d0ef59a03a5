"""Language models held in this process."""
