"""What the proxy remembers: the switch state, used ids, the roster, and the audit's rows."""
