"""What is documented is what is answered: each file under golden/ is played against a running platform."""

from pathlib import Path

import pytest

from tests.dialects.conftest import OpenPlatform
from tests.dialects.exchanges import play, read_golden

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*/*.http"))


@pytest.mark.parametrize("file", FILES, ids=[f"{file.parent.name}/{file.stem}" for file in FILES])
async def test_golden_exchanges(file: Path, open_other: OpenPlatform) -> None:
    """A client of the dialect gets the documented answers, to the letter."""
    golden = read_golden(file)
    assert golden.exchanges
    async with open_other(**golden.settings) as platform:
        await play(platform, golden)
