"""One module for each place a pipeline runs."""
