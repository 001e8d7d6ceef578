"""The code of the Cloud Function: for each event it reads live.json, refuses or submits one build, and logs a line."""
