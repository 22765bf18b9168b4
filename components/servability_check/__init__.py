"""The check that a server could serve the model: in a process of its own."""
