"""The login journey through the real application: no sockets, a clock that the test moves."""
