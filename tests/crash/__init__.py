"""The tool killed with SIGKILL wherever it can be, and what is true afterwards."""
