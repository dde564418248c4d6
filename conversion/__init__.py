"""Moves people from SSO to email and password during an outage, and brings all of them back."""
