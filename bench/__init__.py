"""The bench: pinfold and its peers side by side in one run. How to read it: README.md beside this file."""
