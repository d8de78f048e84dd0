"""One-time codes where new users are not welcome."""

import pytest

from deploy.inbox.mailbox import Query
from tests.dialects.conftest import OpenPlatform

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_nothing_is_sent(open_other: OpenPlatform) -> None:
    """Strangers get the same answer as users, and no message; users get their code, and it works."""
    async with open_other(identity_allow_new_users="false") as platform:
        users = await platform.rows("SELECT id FROM identity.users ORDER BY id")
        for address in ({"email": "stranger@example.com"}, {"phone": "+491701234567"}):
            assert await platform.send_code(**address) == (200, {"data": address, "meta": []})
        known = await platform.send_code(email="someone@example.com")
        assert known == (200, {"data": {"email": "someone@example.com"}, "meta": []})
        # What was asked for last has arrived; by then the others would have arrived too.
        await platform.sign_in("someone@example.com", await platform.code_for("someone@example.com"))
        assert {message.to for message in platform.mailbox.find(Query())} == {"someone@example.com"}
        assert await platform.rows("SELECT id FROM identity.users ORDER BY id") == users
