"""What a run reports: to a person, and to machines."""
