"""The pages of docs/ that are printed from the code, and the checks of all others."""
