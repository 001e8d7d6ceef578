"""What the Cloud Function does with an event: read live.json, refuse or submit one build, and say so in a line of its log."""
