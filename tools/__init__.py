"""What agents may use: tools with declared effects."""
