"""One module for each thing an analyst can do."""
