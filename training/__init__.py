"""Labels and models from what the database recorded."""
