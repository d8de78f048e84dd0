"""What a request to a service behind the proxy needs: the operator's rules, and the one reading of a path they know.

A path that two servers could read in two ways is refused rather than put right: what the rules call public could be
something else to the service. Clients of good faith send none, since browsers and HTTP libraries resolve dots first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_METHOD = re.compile(r"[A-Z]+(?:-[A-Z]+)*")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 §3.3; fit to stand between quotation marks in a header."""

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AMBIGUOUS = re.compile(r"[\x00-\x1f\x7f/\\%;?#]")
"""Once decoded: another separator to some server, the end of the path, its parameters, or encoded twice."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What requests of some methods to some paths need: nothing when `public`, else a token with all of `scopes`.

    - `methods`: those meant; every one when empty.
    - `segments`: those of the path, in order; `*` stands for any one.
    - `below`: whether all paths below are meant, too.
    """

    methods: frozenset[str] = frozenset()
    segments: tuple[str, ...] = ()
    below: bool = True
    public: bool = False
    scopes: frozenset[str] = frozenset()

    def applies(self, method: str, segments: Sequence[str]) -> bool:
        """Whether a request is meant; `method` in capitals, `segments` from `path_segments`."""
        return (not self.methods or method in self.methods) and self._holds(segments)

    def hides(self, later: "Rule") -> bool:
        """Whether no request ever gets to `later` behind this one."""
        methods = not self.methods or bool(later.methods and later.methods <= self.methods)
        return methods and (self.below or not later.below) and self._holds(later.segments)

    def _holds(self, segments: Sequence[str]) -> bool:
        if len(segments) != len(self.segments) and not (self.below and len(segments) > len(self.segments)):
            return False
        return all(want in {"*", have} for want, have in zip(self.segments, segments, strict=False))


OTHERWISE = Rule()
"""What a request needs that no rule means: a token."""


def parse_rules(text: str) -> tuple[Rule, ...]:
    """The rules in `METHODS PATH NEED; …`, in order.

    METHODS is `*` or names with commas between them; in PATH a segment `*` stands for any one, and at the end for
    everything there and below; NEED is `public`, `token`, or `scope:NAME` once or more, all of which are needed.
    Raises ValueError that names the rule.
    """
    rules: list[Rule] = []
    for number, line in enumerate((line for line in text.split(";") if line.strip()), 1):
        try:
            rule = _parse_rule(line.split())
        except ValueError as error:
            raise ValueError(f"rule {number}: {error}") from None
        for earlier, other in enumerate(rules, 1):
            if other.hides(rule):
                raise ValueError(f"rule {number} is never reached: rule {earlier} holds for all of its requests")
        rules.append(rule)
    return tuple(rules)


def find_rule(rules: Sequence[Rule], method: str, target: str) -> Rule:
    """The first rule that applies to a request, OTHERWISE when none does.

    `target` is the path as the client sent it, with its query or without. Raises ValueError as `path_segments` does.
    """
    segments = path_segments(target.partition("?")[0])
    # In capitals, since some services take `delete` for DELETE.
    return next((rule for rule in rules if rule.applies(method.upper(), segments)), OTHERWISE)


def path_segments(path: str) -> tuple[str, ...]:
    """A path's segments, decoded, in lower case (as many services read them), without empty ones.

    Raises ValueError, which does not hold the path, when another server could read it otherwise.
    """
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError("the path does not begin with one slash")
    return tuple(_segment(segment) for segment in path.split("/") if segment)


def _segment(encoded: str) -> str:
    if _BROKEN_ESCAPE.search(encoded):
        raise ValueError("the path has a broken escape")
    try:
        segment = unquote_to_bytes(encoded).decode()
    except UnicodeError:
        raise ValueError("the path is not UTF-8") from None
    if _AMBIGUOUS.search(segment):
        raise ValueError("the path has a character that servers read in different ways")
    if segment.endswith(".") or segment.strip() != segment:
        raise ValueError("the path has a segment that is a dot, or ends in one or in a space")
    return segment.lower()


def _parse_rule(words: Sequence[str]) -> Rule:
    if len(words) < 3:
        raise ValueError("it is not METHODS PATH NEED")
    methods, path, *needs = words
    names = frozenset() if methods == "*" else frozenset(methods.split(","))
    if not all(map(_METHOD.fullmatch, names)):
        raise ValueError(f"not methods in capitals with commas between them: {methods}")
    segments = path_segments(path)
    if any("*" in segment and segment != "*" for segment in segments):
        raise ValueError("* stands for whole segments")
    below = segments[-1:] == ("*",)
    public, scopes = _parse_needs(needs)
    return Rule(names, segments[:-1] if below else segments, below, public, scopes)


def _parse_needs(needs: Sequence[str]) -> tuple[bool, frozenset[str]]:
    if needs in (["public"], ["token"]):
        return needs == ["public"], frozenset()
    scopes = frozenset(need.removeprefix("scope:") for need in needs if need.startswith("scope:"))
    if len(scopes) != len(needs) or not all(map(_SCOPE.fullmatch, scopes)):
        raise ValueError(f"not public, token, or scope:NAME once or more: {' '.join(needs)}")
    return False, scopes
