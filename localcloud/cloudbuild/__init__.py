"""Cloud Build: builds of the v1 API, whose steps run as processes or in containers."""
