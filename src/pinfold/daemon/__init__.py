"""The control plane: the composition root, reload, status, and the checks of this machine."""
