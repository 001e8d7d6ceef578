"""The project's service accounts: their addresses and ids, kept in a file."""

from __future__ import annotations

import secrets
from typing import Any

from localcloud.core.iam.project import PROJECT, email
from localcloud.core.kept import Kept

Json = dict[str, Any]


class Accounts:
    """Service accounts by address. An account that is made again has another unique id."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def addresses(self) -> list[str]:
        """Return the address of every account, in order."""
        return self._kept.names()

    def all(self) -> list[Json]:
        """Return every account in Google's form."""
        return [account for _, account in self._kept.items()]

    def find(self, name: str) -> Json | None:
        """Return the account of an address or unique id; None if there is none."""
        found = self._kept.find(name)
        if found is None and name.isdecimal():
            return next((account for account in self.all() if account["uniqueId"] == name), None)
        return found

    def make(self, account: str, fields: Json) -> Json:
        """Store a new account, by its short name or address; return it. An existing one is replaced."""
        address, number = email(account), str(10**20 + secrets.randbelow(10**19))
        made = {
            "name": f"projects/{PROJECT}/serviceAccounts/{address}",
            "projectId": PROJECT,
            "uniqueId": number,
            "email": address,
            "oauth2ClientId": number,
            "etag": "MDEwMjE5MjA=",
            **fields,
        }
        self._kept.put(address, made)
        return made

    def delete(self, account: Json) -> None:
        """Delete an account."""
        self._kept.remove(account["email"])
