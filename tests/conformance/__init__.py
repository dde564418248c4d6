"""What every store keeps to, whatever it is made of."""
