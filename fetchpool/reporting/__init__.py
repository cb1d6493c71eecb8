"""What is told of a run: to a person, to machines."""
