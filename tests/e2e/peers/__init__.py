"""The real parts, each a foreground process on loopback with its logs in its folder."""
