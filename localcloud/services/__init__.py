"""Google's services, one folder each."""
