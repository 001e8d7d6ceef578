"""Conditions of IAM: the part of the Common Expression Language that names resources, compiled to Python."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from localcloud.core.errors import ApiError, invalid, unimplemented

Condition = Callable[["Resource"], bool]
_Value = Callable[["Resource"], object]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>&&|\|\||==|!=|[!().,])|(?P<end>$)|(?P<other>.))""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)")
_MAX_LENGTH = 4096
_MAX_OPERATORS = 12
# Not Google's; it bounds the recursion here.
_MAX_PARENTHESES = 100
_COMPARISONS: dict[str, Callable[[object, object], bool]] = {"==": operator.eq, "!=": operator.ne}
_ATTRIBUTES = ("name", "service", "type")


@dataclass(frozen=True)
class Resource:
    """The attributes that a condition sees; all are empty for a service that does not offer them."""

    name: str
    type: str

    @property
    def service(self) -> str:
        """The name of the API: "storage.googleapis.com"."""
        return self.type.partition("/")[0]


@lru_cache(maxsize=1024)
def compiled(expression: str) -> Condition:
    """Return the test that an expression describes.

    It knows `resource.name`, `.type` and `.service`; `==`, `!=`, `!`, `&&`, `||`; `startsWith`, `endsWith`, `extract`.
    Raise `ApiError`: 400 for what is no expression, 501 for the rest of the language.
    """
    if len(expression) > _MAX_LENGTH:
        raise invalid(f"The condition expression is longer than {_MAX_LENGTH} characters.")
    return _Parser(expression).condition()


def extracted(template: str, name: str) -> str:
    """Return the part of a name that `{…}` stands for, as `extract` does; "" where the template does not fit.

    https://cloud.google.com/iam/docs/conditions-attribute-reference#extract: the text after the first occurrence of
    what stands before the braces, up to the first occurrence of what stands behind them.
    """
    before, _, rest = template.partition("{")
    after = rest.partition("}")[2]
    _, found, behind = name.partition(before) if before else ("", "{", name)
    if not found:
        return ""
    if not after:
        return behind
    value, end, _ = behind.partition(after)
    return value if end else ""


class _Parser:
    """A parser by recursive descent. Each method reads one level of precedence."""

    def __init__(self, expression: str) -> None:
        self._tokens = list(_tokens(expression))
        if sum(text == "(" for _, text in self._tokens) > _MAX_PARENTHESES:
            raise invalid(f"The condition expression has more than {_MAX_PARENTHESES} parentheses.")
        if sum(text in {"&&", "||", "!"} for _, text in self._tokens) > _MAX_OPERATORS:
            raise invalid(f"The condition expression has more than {_MAX_OPERATORS} logical operators.")
        self._at = 0

    def condition(self) -> Condition:
        test = self._either()
        if self._peek() != "":
            raise _syntax(self._peek())
        return test

    def _either(self) -> Condition:
        tests = [self._both()]
        while self._took("||"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda resource: any(test(resource) for test in tests)

    def _both(self) -> Condition:
        tests = [self._single()]
        while self._took("&&"):
            tests.append(self._single())
        return tests[0] if len(tests) == 1 else lambda resource: all(test(resource) for test in tests)

    def _single(self) -> Condition:
        if self._took("!"):
            negated = self._single()
            return lambda resource: not negated(resource)
        if self._took("("):
            test = self._either()
            self._expect(")")
            return test
        left, is_test = self._value()
        compare = _COMPARISONS.get(self._peek())
        if compare is None:
            if not is_test:
                raise invalid("The condition expression must evaluate to a boolean.")
            return lambda resource: bool(left(resource))
        self._at += 1
        right, _ = self._value()
        return lambda resource: compare(left(resource), right(resource))

    def _value(self) -> tuple[_Value, bool]:
        """Return a value with the calls that follow it, and whether it is a boolean."""
        kind, text = self._next()
        if kind == "text":
            value = _constant(_unquoted(text))
        elif text in {"true", "false"}:
            return _constant(text == "true"), True
        elif kind == "name":
            value = self._attribute(text)
        else:
            raise _syntax(text)
        is_test = False
        while self._took("."):
            value, is_test = self._called(value)
        return value, is_test

    def _attribute(self, root: str) -> _Value:
        self._expect(".")
        name = self._next()[1]
        if root != "resource" or name not in _ATTRIBUTES:
            raise unimplemented(
                f"localcloud's conditions do not know {root}.{name}; they know "
                f"{', '.join(f'resource.{known}' for known in _ATTRIBUTES)}."
            )
        return operator.attrgetter(name)

    def _called(self, value: _Value) -> tuple[_Value, bool]:
        function = self._next()[1]
        self._expect("(")
        kind, quoted = self._next()
        if kind != "text":
            raise _syntax(quoted)
        text = _unquoted(quoted)
        self._expect(")")
        if function == "startsWith":
            return (lambda resource: str(value(resource)).startswith(text)), True
        if function == "endsWith":
            return (lambda resource: str(value(resource)).endswith(text)), True
        if function == "extract":
            return (lambda resource: extracted(text, str(value(resource)))), False
        raise unimplemented(
            f"localcloud's conditions do not know {function}(); they know startsWith, endsWith and extract."
        )

    def _peek(self) -> str:
        return self._tokens[self._at][1]

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _took(self, sign: str) -> bool:
        taken = self._tokens[self._at] == ("sign", sign)
        self._at += taken
        return taken

    def _expect(self, sign: str) -> None:
        if not self._took(sign):
            raise _syntax(self._peek())


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while True:
        found = _TOKEN.match(expression, at)
        kind = found.lastgroup if found else None
        if found is None or kind is None:
            raise _syntax(expression[at:])
        if kind == "other":
            raise _unknown_sign(found[kind])
        yield kind, found[kind]
        if kind == "end":
            return
        at = found.end()


def _constant(value: object) -> _Value:
    return lambda _resource: value


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1])


def _syntax(near: str) -> ApiError:
    return invalid(f"The condition expression does not compile: syntax error at '{near[:40]}'.")


def _unknown_sign(sign: str) -> ApiError:
    if sign in "<>+-*/%[]{}?:0123456789":
        return unimplemented(f"localcloud's conditions do not know the operator or literal {sign}.")
    return _syntax(sign)
