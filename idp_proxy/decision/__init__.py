"""What may happen, and why: values in, values out. Standard library only; no clock, no I/O."""
