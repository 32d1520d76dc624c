"""What can be done with a run's past: replay it, branch off, compare, export, hand over."""
