"""The identity providers behind the proxy, one Protocol for all kinds."""
