"""`python -m localcloud submit`: runs a repo's cloudbuild.yaml on the local Cloud Build, as `gcloud builds submit` would."""
