"""What browsers ask and are shown: HTTP in, pages out."""
