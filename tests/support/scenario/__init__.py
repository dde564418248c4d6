"""Scenarios: written stories of outages, played on the real watch in a time that leaps."""
