"""What may happen to an account, and why: values in, values out. Standard library only."""
