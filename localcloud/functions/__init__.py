"""Cloud Functions (2nd gen): functions that are built from source archives, served by Cloud Run and fed by Pub/Sub."""
