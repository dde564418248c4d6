"""The ledger: every person who was moved, the way back, and how far each one is."""
