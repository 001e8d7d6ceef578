"""The IAM service: the project's service accounts, read only."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from localcloud.errors import invalid, not_found
from localcloud.iam import PROJECT, Iam, tested
from localcloud.iam.policies import by_id
from localcloud.service import Call, Handler

Json = dict[str, Any]

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 100


class IamService:
    """Service accounts by their resource names; `-` may stand for the project, and the unique id for the address."""

    api = "iam.v1"

    def __init__(self, iam: Iam) -> None:
        self._accounts = {address: _account(address) for address in iam.accounts()}

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "iam.projects.serviceAccounts.get": self._get,
            "iam.projects.serviceAccounts.list": self._list,
            "iam.projects.serviceAccounts.testIamPermissions": self._test,
        }

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return nothing: the accounts are fixed."""
        return {}

    def close(self) -> None:
        """Nothing runs."""

    def _get(self, call: Call) -> Json:
        """Describe an account. Who may not see it is not told whether it exists."""
        name = self._named(call.params["name"])
        call.require("iam.serviceAccounts.get", name)
        account = self._accounts.get(name.rpartition("/")[2])
        if account is None or account["name"] != name:
            raise not_found(f"Unknown service account: {name.rpartition('/')[2]}.")
        return account

    def _list(self, call: Call) -> Json:
        name = by_id(call.params["name"])
        call.require("iam.serviceAccounts.list", name)
        size = int(call.params.get("pageSize", "0")) or _DEFAULT_PAGE
        token = call.params.get("pageToken", "")
        if not 0 < size <= _LARGEST_PAGE or (token and not token.isdecimal()):
            raise invalid("Request contains an invalid argument.")
        start, accounts = int(token or 0), list(self._accounts.values())
        page: Json = {"accounts": accounts[start : start + size]} if accounts[start : start + size] else {}
        return page | ({"nextPageToken": str(start + size)} if start + size < len(accounts) else {})

    def _test(self, call: Call) -> Json:
        """Tell which of some permissions the caller has on an account; on one that is not there, none."""
        name = self._named(call.params["resource"])
        answer = tested(call, name)
        return answer if name.rpartition("/")[2] in self._accounts else {}

    def _named(self, name: str) -> str:
        """Return an account's own name, whatever form the call has it in."""
        _, project, _, account = by_id(name).split("/")
        by_number = {item["uniqueId"]: address for address, item in self._accounts.items()}
        address = by_number.get(account, account)
        known = self._accounts.get(address)
        if project == "-":
            project = known["projectId"] if known else "-"
        return f"projects/{project}/serviceAccounts/{address}"


def _account(address: str) -> Json:
    number = str(10**20 + int(hashlib.sha256(address.encode()).hexdigest()[:15], 16))
    return {
        "name": f"projects/{PROJECT}/serviceAccounts/{address}",
        "projectId": PROJECT,
        "uniqueId": number,
        "email": address,
        "oauth2ClientId": number,
        "etag": base64.b64encode(b"localcloud").decode(),
    }
