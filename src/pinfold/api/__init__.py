"""The control API: its models, the application on the unix socket, and the client the command line uses."""
