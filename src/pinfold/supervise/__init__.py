"""Supervision: the life of instances as a table, and the link to the shim that carries it out."""
