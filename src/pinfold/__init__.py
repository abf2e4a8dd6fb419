"""pinfold: N copies of any HTTP program behind one secure, fast front door."""

__version__ = "0.1.0"
