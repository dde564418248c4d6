"""End to end: real identity providers, real service providers, a real browser."""
