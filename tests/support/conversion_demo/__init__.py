"""An outage of SSO, told on the terminal by the tool's own commands against the double."""
