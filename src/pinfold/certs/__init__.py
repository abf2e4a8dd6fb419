"""Certificates: bundles of chain and key, read, judged and made."""
