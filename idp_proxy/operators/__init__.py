"""Operators: who they are, how they prove it, what two of them agree on. Takes connections."""
