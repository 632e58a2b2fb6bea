"""Adapters for Azure: one service a module."""
