"""The five seed documents, as a reader tries them."""

from deploy.seeds.__main__ import difference, send
from tests.support.platform import Platform


async def test_every_request_of_the_seeds_gets_the_documented_answer(platform: Platform) -> None:
    """What `make seeds` sends is answered as the documents say."""
    results = await send(platform.url, platform.inbox["http"])
    assert len(results) > 25
    assert {example.path: problem for example, problem in results if problem} == {}


def test_another_answer_than_the_documented_one_is_told() -> None:
    """The comparison sees a value, a type, a missing, an additional and a displaced key."""
    documented = {"token": str, "seconds": 900, "inside": {"at": str}}
    right = {"token": "abc", "seconds": 900, "inside": {"at": "now"}}
    assert difference(documented, right) is None
    wrong = (
        right | {"seconds": 901},
        right | {"token": 5},
        right | {"token": ""},
        {"token": "abc", "seconds": 900},
        right | {"more": 1},
        {"seconds": 900, "token": "abc", "inside": {"at": "now"}},
        right | {"inside": {"at": None}},
        None,
    )
    assert [answer for answer in wrong if difference(documented, answer) is None] == []
