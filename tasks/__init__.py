"""Problems and graders, and the runner that searches many problems at once."""
