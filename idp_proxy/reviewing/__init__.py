"""What a review looks at, and how it is told: evidence, the policy that is signed, reports."""
