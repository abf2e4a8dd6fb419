"""The configuration: its model, how it is read with positions, and every problem at once."""
