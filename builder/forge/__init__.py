"""GitHub's and GitLab's APIs, as far as `comment` needs them. Nothing else in the builder imports this package."""
