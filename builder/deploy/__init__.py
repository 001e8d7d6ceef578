"""`deploy`: from proofs to what is live."""
