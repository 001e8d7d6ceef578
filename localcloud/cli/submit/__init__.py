"""`python -m localcloud submit`: runs a repo's cloudbuild.yaml on the local Cloud Build, like gcloud."""
