"""The edge where Sentinel's playbook says that an incident was created or changed."""
