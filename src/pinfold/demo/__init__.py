"""The bundled program that `pinfold demo` runs; it stands alone and knows nothing of pinfold."""
