"""Values and pure functions: no I/O, no clock, no SDK, nothing of ours imported."""
