"""The rules of forward-auth, and the paths they are held against."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.forward_rules import OTHERWISE, Rule, find_rule, parse_rules

RULES = parse_rules(
    "GET,HEAD /public/* public; * /health public; * /admin/* scope:admin; DELETE /* scope:write scope:admin;"
    "GET /users/*/avatar public; * /user%20guide public; * /* token;"
)


def need(method: str, target: str) -> str:
    """What a request needs, in the words of the rules."""
    rule = find_rule(RULES, method, target)
    return "public" if rule.public else " ".join(sorted(rule.scopes)) or "token"


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/public/a/b", "public"),
        ("GET", "/public", "public"),
        ("GET", "/public/", "public"),
        ("HEAD", "/public/a", "public"),
        ("POST", "/public/a", "token"),
        ("GET", "/publicity", "token"),
        ("GET", "/health", "public"),
        ("POST", "/health/", "public"),
        ("GET", "/health/deep", "token"),
        ("GET", "/admin", "admin"),
        ("GET", "/admin/users", "admin"),
        ("DELETE", "/admin/users", "admin"),
        ("DELETE", "/users/7", "admin write"),
        ("GET", "/users/7/avatar", "public"),
        ("GET", "/users/avatar", "token"),
        ("GET", "/users/7/8/avatar", "token"),
        ("GET", "/User%20Guide", "public"),
        ("GET", "/", "token"),
    ],
)
def test_first_match(method: str, target: str, expected: str) -> None:
    """The first rule for the method and the path says what is needed."""
    assert need(method, target) == expected


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/%70ublic/%61", "public"),
        ("GET", "/ADMIN/users", "admin"),
        ("GET", "/%41dmin/users", "admin"),
        ("GET", "/x//admin", "token"),
        ("GET", "/admin//users", "admin"),
        ("GET", "/public//admin", "public"),
        ("GET", "/admin?/../public/x", "admin"),
        ("GET", "/admin?next=/public/x#/public", "admin"),
        ("delete", "/users/7", "admin write"),
    ],
)
def test_one_reading(method: str, target: str, expected: str) -> None:
    """However a path is written, it needs the same; the query changes nothing."""
    assert need(method, target) == expected


def test_letters_that_only_look_up_as_others() -> None:
    """Case is all that is disregarded: a letter that would fold into another one or two is a letter of its own."""
    rules = parse_rules("* /statuses/* public; * /stra%C3%9Fe/* public; * /users/* token")
    for target in ("/statu%C5%BFes/x", "/strasse/x"):
        assert not find_rule(rules, "GET", target).public
    for target in ("/STATUSES/x", "/stra%C3%9Fe/x", "/STRA%C3%9FE/x"):
        assert find_rule(rules, "GET", target).public
    parse_rules("* /strasse public; * /stra%C3%9Fe token")  # neither hides the other


@pytest.mark.parametrize(
    "target",
    [
        "",
        "public/x",
        "*",
        "http://service/public/x",
        "//public/admin",
        "/public/../admin",
        "/admin/../public/x",
        "/public/./x",
        "/public/%2e%2e/admin",
        "/public/.%2E/admin",
        "/public/..%2fadmin",
        "/public%2Fx",
        "/public/..%5cadmin",
        "/public/..\\admin",
        "/public/%252e%252e/admin",
        "/public/..;/admin",
        "/admin;v=1/users",
        "/admin%3bv=1/users",
        "/public/..%00/admin",
        "/admin%00",
        "/admin#/public",
        "/admin%23",
        "/admin%3Fx",
        "/admin%20",
        "/admin%09",
        "/admin.",
        "/%c0%ae%c0%ae/admin",
        "/public/%ff",
        "/public/%",
        "/public/%2",
        "/public/%zz",
        "/public/\udcff",
    ],
)
def test_ambiguous_paths(target: str) -> None:
    """A path that two servers could read in two ways is refused, and not told on."""
    with pytest.raises(ValueError, match="the path") as refused:
        find_rule(RULES, "GET", target)
    assert "admin" not in str(refused.value)


_PIECES = ["/", "//", "public", "admin", "..", ".", "%2e", "%2f", "%5c", "\\", ";", "%00", "%25", "?", "#", "x", "%70"]


@given(st.lists(st.sampled_from(_PIECES)))
def test_nothing_reaches_a_public_rule_from_a_private_path(pieces: list[str]) -> None:
    """What is taken for public lies below it also for a server that decodes, resolves dots and cuts parameters."""
    target = "/" + "".join(pieces)
    try:
        public = find_rule(RULES, "GET", target).public
    except ValueError:
        return
    if public:
        path = target.partition("?")[0]
        for written, meant in (("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/"), ("%25", "%"), ("%70", "p")):
            path = path.replace(written, meant)
        resolved: list[str] = []
        for segment in (part.partition(";")[0] for part in path.split("/")):
            if segment == "..":
                del resolved[-1:]
            elif segment not in {"", "."}:
                resolved.append(segment)
        assert resolved[0] == "public"


def test_without_rules() -> None:
    """A request that no rule means needs a token."""
    assert parse_rules("") == parse_rules(" ; ") == ()
    assert find_rule((), "GET", "/") is OTHERWISE
    assert (OTHERWISE.public, OTHERWISE.scopes) == (False, frozenset())


def test_all_that_a_rule_can_say() -> None:
    """A rule has methods, a path, whether it goes on below, and what it needs."""
    assert parse_rules("PUT,M-SEARCH /a/*/b/* scope:x:y scope:z") == (
        Rule(frozenset({"PUT", "M-SEARCH"}), ("a", "*", "b"), below=True, scopes=frozenset({"x:y", "z"})),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("* /x", "rule 1: it is not METHODS PATH NEED"),
        ("* /a public; /x public *", "rule 2: "),
        ("get /x public", "rule 1: not methods in capitals"),
        ("GET, /x public", "rule 1: not methods in capitals"),
        ("* x public", "rule 1: the path does not begin with one slash"),
        ("* /a/../b public", "rule 1: the path has a segment"),
        ("* /a* public", r"rule 1: \* stands for whole segments"),
        ("* /x open", "rule 1: not public, token, or scope:NAME"),
        ("* /x public scope:a", "rule 1: not public, token, or scope:NAME"),
        ("* /x scope:", "rule 1: not public, token, or scope:NAME"),
        ('* /x scope:a"', "rule 1: not public, token, or scope:NAME"),
        ("* /* token; * /admin/* scope:admin", "rule 2 is never reached: rule 1"),
        ("GET /a public; GET,PUT /a/* token; PUT /a/b public", "rule 3 is never reached: rule 2"),
        ("* /*/x token; * /a/x public", "rule 2 is never reached: rule 1"),
    ],
)
def test_mistakes_in_rules(text: str, problem: str) -> None:
    """A rule that cannot be read, or that could never hold, is named with its number."""
    with pytest.raises(ValueError, match=problem):
        parse_rules(text)


@pytest.mark.parametrize(
    "text",
    [
        "GET /a/* public; * /a/* token",
        "* /a public; * /a/* token",
        "* /a/x token; * /a/* public",
        "* /*/x token; * /a/* public",
        "* /a/x token; * /a/*/x public",
    ],
)
def test_rules_that_overlap(text: str) -> None:
    """A narrow rule before a wider one is fine."""
    assert len(parse_rules(text)) == 2
