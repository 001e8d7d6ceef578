"""The clients of Google Cloud, one file per service.

They implement the Protocols in ports.py, check_ports.py, and deploy_ports.py. The builder imports google.* nowhere
else.
"""
