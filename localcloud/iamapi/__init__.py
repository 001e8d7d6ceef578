"""The IAM API, as far as a preflight asks it: which service accounts there are, and whether the caller may act as them."""

from localcloud.iamapi.service import IamService

__all__ = ["IamService"]
