"""Adapters for this machine."""
