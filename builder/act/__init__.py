"""Acting on a plan: staging, placement, watching, publishing, clean-up. Everything that costs money happens here."""
