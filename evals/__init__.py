"""Measures the prompts: cases put to the desk that production runs, and what must come back."""
