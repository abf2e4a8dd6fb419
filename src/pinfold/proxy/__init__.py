"""All that Python knows of the data plane: its messages, its snapshot, its process."""
