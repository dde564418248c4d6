"""The audit: one hash chain per host, committed together with what it records."""
