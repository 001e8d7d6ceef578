"""The parts that every service uses: HTTP, discovery documents, errors, clock, faults, lists, kept state, IAM."""
