"""The doors to Google Cloud, one file per service: the only place of the builder that imports google.*."""
