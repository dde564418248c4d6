"""Octets that nobody should send, thrown at every reader of what strangers send."""
