"""Service accounts: their methods, their policies, and who may act as them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.core.iam import PROJECT, Iam, by_id, email
from localcloud.core.iam.calls import Resources, policy_handlers
from localcloud.core.listing import page
from localcloud.core.service import Call, Handler, Part
from localcloud.services.iam.refusals import account_exists, no_such_account
from localcloud.services.iam.rules import account_fields, check_account_id

Json = dict[str, Any]

_DEFAULT_PAGE, _MAX_PAGE = 20, 100


class AccountCalls(Part):
    """Service accounts by their resource names; `-` may stand for the project, and the unique id for the address."""

    api = "iam.v1"

    def __init__(self, iam: Iam) -> None:
        self._iam = iam

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        prefix = "iam.projects.serviceAccounts"
        resources = Resources({prefix: "iam.serviceAccounts"}, self._exists, no_such_account, self._named)
        return {
            f"{prefix}.create": self._create,
            f"{prefix}.get": self._get,
            f"{prefix}.list": self._list,
            f"{prefix}.delete": self._delete,
            **policy_handlers(resources),
        }

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the accounts."""
        return {"iam.serviceAccounts": [{"email": address} for address in self._iam.accounts.addresses()]}

    def _create(self, call: Call) -> Json:
        call.authorize("iam.serviceAccounts.create", call.params["name"])
        account_id = call.body.get("accountId", "")
        check_account_id(account_id)
        if self._iam.accounts.find(email(account_id)) is not None:
            raise account_exists(account_id)
        return self._iam.accounts.make(account_id, account_fields(call.body.get("serviceAccount") or {}))

    def _get(self, call: Call) -> Json:
        return self._authorized(call, "get")

    def _list(self, call: Call) -> Json:
        call.authorize("iam.serviceAccounts.list", call.params["name"])
        found = self._iam.accounts.all()
        return page(found, call.params, "accounts", _MAX_PAGE, default=_DEFAULT_PAGE, clamp=False)

    def _delete(self, call: Call) -> Json:
        """Delete an account. Policies name it as deleted from then on, and a new one of the same name gets nothing."""
        account = self._authorized(call, "delete")
        self._iam.accounts.delete(account)
        self._iam.policies.remove(account["name"])
        member = f"serviceAccount:{account['email']}"
        self._iam.policies.rename(member, f"deleted:{member}?uid={account['uniqueId']}")
        return {}

    def _authorized(self, call: Call, verb: str) -> Json:
        """Return the call's account. A caller without the permission does not learn whether it exists."""
        name = self._named(call.params["name"])
        call.require(f"iam.serviceAccounts.{verb}", name)
        account = self._iam.accounts.find(name.rpartition("/")[2])
        if account is None or account["name"] != name:
            raise no_such_account(name)
        return account

    def _exists(self, name: str) -> bool:
        account = self._iam.accounts.find(name.rpartition("/")[2])
        return account is not None and account["name"] == name

    def _named(self, name: str) -> str:
        """Return an account's own name, for any form of it in the call."""
        _, project, _, account = by_id(name).split("/")
        known = self._iam.accounts.find(account)
        address = known["email"] if known else account
        return f"projects/{PROJECT if project == '-' and known else project}/serviceAccounts/{address}"
