"""What a turn costs, measured; `python -m benchmarks` prints the table."""
