"""Tells texts that look like secrets from ordinary ones: by their name, by a known form, by their randomness.

The builder asks about parameters, and the VM about the fields of a secret.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter

_SECRET = {
    *("password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "credential", "credentials", "bearer"),
    *("privatekey", "secretkey", "accesskey"),
}  # fmt: skip
_SECRET_PAIRS = {
    (first, "key") for first in ("api", "access", "private", "secret", "encryption", "signing", "account")
}
# Words before "token" in the settings of tokenizers. Such a token is a piece of text.
_TOKENIZERS = {"bos", "cls", "eos", "mask", "pad", "sep", "special", "start", "stop", "unk"}
# Last words of names that describe a secret, such as its length or its file, and do not hold it.
_ABOUT = {
    *("name", "names", "id", "ids", "type", "count", "length", "limit", "limits", "path", "file", "url", "uri", "column"),
    *("columns", "field", "fields", "version", "policy", "expiry", "ttl", "env", "var", "variable", "size", "index"),
}  # fmt: skip
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Forms of known secrets: keys of clouds and code hosts, private keys, signed tokens.
_KNOWN_FORMS = re.compile(
    r"AIza[\w-]{35}|ya29\.[\w-]{20,}|AKIA[A-Z0-9]{16}|gh[pousr]_\w{36}|github_pat_\w{22,}|glpat-[\w-]{20}|xox[abprs]-[\w-]{10,}"
    r"|sk-[\w-]{32,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    # Matches from the beginning of a word, so that each word is read once.
    r"|(?<![\w-])(?>[\w-]*?eyJ)[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]{8}"
)
_RANDOM_BITS = 3.5
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_RANDOM_TEXT = re.compile(r"[\w+/=~!@#$%^&*?-]{20,200}", re.ASCII)
_RANDOM_CLASSES = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])|[0-9a-f]{32,}\Z|[0-9A-F]{32,}\Z")


def names_secret(name: str) -> bool:
    """Return True for the name of a secret, such as `db_password` or `apiKey`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    pairs = set(itertools.pairwise(("", *words)))
    secret = {word for before, word in pairs if word != "token" or before not in _TOKENIZERS}
    return bool(_SECRET.intersection(secret) or _SECRET_PAIRS.intersection(pairs))


def has_known_form(text: str) -> bool:
    """Return True for a text with a token or key that has the form of a known issuer."""
    return _KNOWN_FORMS.search(text) is not None


def looks_random(text: str) -> bool:
    """Return True for one word of 20 to 200 characters that a generator made: no UUID, path, host, or English."""
    if not _RANDOM_TEXT.fullmatch(text) or not _RANDOM_CLASSES.match(text) or _UUID.fullmatch(text):
        return False
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares) >= _RANDOM_BITS
