"""Looking things up: in the user's documents, and in solved problems of past runs."""
