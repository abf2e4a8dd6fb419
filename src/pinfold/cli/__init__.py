"""The command line: one command a file in `commands`; what they print is made in `render`."""
