"""setup/table.sh: bash and Python read the same entries, and each entry names things that the table has."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import astuple

import pytest

from localcloud.profile.table import FILE, Condition, Grant, parse, table

PARTS = {"run", "deploy", "packages", "undeployed"}
READERS = "".join(
    f"{kind}() {{ printf '%s\\0' {kind} \"$@\" ''; }}\n"
    for kind in ("api", "repository", "account", "role", "grant")
)


def words(grant: Grant) -> list[str]:
    """Return the arguments of a grant's command."""
    condition = [*astuple(grant.condition)] if grant.condition else []
    return ["grant", grant.part, ",".join(grant.accounts), grant.role, grant.on, grant.purpose, *condition]


def test_bash_and_python_read_the_same_entries() -> None:
    read = subprocess.run(
        ["bash", "-euc", f"{READERS}. {shlex.quote(str(FILE))}"], capture_output=True, text=True, check=True
    ).stdout
    by_bash = [" ".join(entry.split()) for entry in read.replace("\0", "\n").split("\n\n")][:-1]
    known = table()
    by_python = [
        *(["api", *api] for api in known.apis),
        *(["repository", *astuple(each)] for each in known.repositories),
        *(["account", *astuple(each)] for each in known.accounts),
        *(["role", each.part, each.name, each.title, *each.permissions] for each in known.roles),
        *(words(each) for each in known.grants),
    ]
    assert by_bash == [" ".join(entry) for entry in by_python]


def test_each_entry_belongs_to_a_part_and_stands_once() -> None:
    known = table()
    kinds: list[list[tuple[str, object]]] = [
        [*known.apis],
        [(each.part, each.name) for each in known.repositories],
        [(each.part, each.name) for each in known.accounts],
        [(each.part, each.name) for each in known.roles],
        [
            (grant.part, (account, grant.role, grant.on, grant.condition))
            for grant in known.grants
            for account in grant.accounts
        ],
    ]
    assert {part for kind in kinds for part, _ in kind} == PARTS
    for kind in kinds:
        assert len({name for _, name in kind}) == len(kind) > 0


def test_a_grant_names_accounts_roles_and_resources_that_are_made_no_later() -> None:
    """A grant of the part `run` may name accounts of `deploy`: it then holds for those that are there."""
    known = table()
    part_of = {each.name: each.part for each in known.accounts}
    part_of |= {each.name: each.part for each in known.roles}
    part_of |= {each.name: each.part for each in known.repositories if each.name not in part_of}
    for grant in known.grants:
        on = grant.on.partition(":")[2]
        for name in (grant.role, on):
            if name and not name.startswith("roles/"):
                assert part_of[name] in {"run", grant.part}, grant
        for account in grant.accounts:
            assert account.startswith("service-NUMBER@") or account in part_of, grant
        assert re.fullmatch(r"project|bucket|(repository|account):[a-z-]+", grant.on)


@pytest.mark.parametrize("account", [each.name for each in table().accounts])
def test_each_account_has_an_id_that_iam_takes_and_a_role(account: str) -> None:
    """R2: 6 to 30 characters. Only the invoker of the function gets its role from `deploy`."""
    assert re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", account)
    granted = any(account in grant.accounts for grant in table().grants)
    assert granted or account == "notebook-trigger"


def test_nobody_gets_a_basic_role_or_rights_through_a_default_account() -> None:
    """A basic role has thousands of permissions, and every VM and function of a project may share a default account."""
    for grant in table().grants:
        assert grant.role not in {"roles/owner", "roles/editor", "roles/viewer"}, grant
        assert not [
            account for account in grant.accounts if re.search(r"-compute$|@developer|@appspot", account)
        ]


def test_conditions_fit_gcloud_and_the_limits_of_iam() -> None:
    """`gcloud --condition` splits at commas; IAM takes 12 operators and titles of 100 characters."""
    conditions = [grant.condition for grant in table().grants if grant.condition]
    assert len(conditions) > 8
    for condition in conditions:
        assert "," not in condition.title + condition.expression
        assert len(re.findall(r"\|\||&&|!=|==", condition.expression)) <= 12
        assert len(condition.title) <= 30


def test_per_prefix_grants_reach_nothing_outside_the_prefix() -> None:
    """An account has at most 20 conditions for one role of a policy, so a bucket serves at least 10 prefixes."""
    bound = [
        (grant.accounts, grant.role, grant.condition)
        for grant in table().grants
        if grant.is_of_a_prefix and grant.condition
    ]
    for _, _, condition in bound:
        starts = re.findall(r'startsWith\("([^"]+)"\)', condition.expression)
        assert starts
        assert all(start.startswith("projects/_/buckets/BUCKET/objects/PREFIX/") for start in starts)
    pairs = [(accounts, role) for accounts, role, _ in bound]
    assert max(map(pairs.count, pairs)) <= 2


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("grant run me roles/x", id="too-short"),
        pytest.param("grant run me roles/x project why title", id="title-without-condition"),
        pytest.param("account run it 'has no end", id="open-quotation"),
        pytest.param("user run me", id="unknown-kind"),
    ],
)
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"setup/table\.sh"):
        parse(text)


def test_a_condition_over_several_lines_is_one_line() -> None:
    (grant,) = parse("grant run me roles/x bucket why title 'a ||\n  b' # comment's end\n").grants
    assert grant.condition == Condition("title", "a || b")
