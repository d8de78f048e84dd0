"""The examples of the verifier's README, as files that can be run."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "shared" / "verifier" / "README.md"


def examples(issuer: str) -> list[str]:
    """The Python blocks, with the address of a running issuer in place of the example's."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    return [block.replace("https://id.example.com", issuer) for block in blocks]
