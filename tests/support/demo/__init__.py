"""`make demo`: an outage of the identity provider, told on the terminal with real logins."""
