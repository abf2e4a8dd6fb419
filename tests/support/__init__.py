"""What the tests stand on: pinfold as a subprocess, clients, load, ports. Nothing here imports pinfold."""
