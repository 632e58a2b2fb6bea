"""A workspace, a model and a portal page that need no account: real protocols on loopback."""
