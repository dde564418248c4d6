"""Against a real Active Directory: `make e2e-ad`, in a network of its own."""
