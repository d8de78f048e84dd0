"""Sessions in any order of events, in every dialect, against a simple model of what becomes of them."""

from collections.abc import Coroutine
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr

from shared.contracts.identity import CreateUser, SuspendUser
from tests.dialects.doors import CLIENT, DOORS, Door, gives_tokens, is_let_in
from tests.dialects.running import Answer
from tests.fuzz.budget import Budget
from tests.fuzz.model import Account, ModelSession
from tests.fuzz.running import RunningPlatform
from tests.support.waiting import eventually

T = TypeVar("T")

SETTINGS = {"gateway_directus_login_stall_ms": "0", "gateway_redis_url": ""}
"""The gateway asks for revocations: a stream in Redis is trimmed by Redis's own clock, which does not run with ours."""

_BY_NAME = {door.name: door for door in DOORS}
_REFUSED = {400, 401}
_MOST_WRONG = 5
"""Attempts of one user: more of them would be held up, however right."""
_MOST_SESSIONS = 4
"""Alive at once: more is to be seen of a few that much happens to."""
_ENOUGH = 2
"""Sessions, so that there is something to end."""
_DEADLINE_SECONDS = 10.0
_numbers = count()


class Sessions(RuleBasedStateMachine):
    """Does what users, clients and operators do, and compares each answer with the model's."""

    sessions: Bundle[ModelSession] = Bundle("sessions")

    def __init__(self, running: RunningPlatform, budget: Budget) -> None:
        super().__init__()
        self._running = running
        self._platform = running.platform
        self._budget = budget
        self._accounts: list[Account] = []

    @property
    def _now(self) -> datetime:
        return self._platform.clock.now()

    def _do(self, doing: Coroutine[Any, Any, T]) -> T:
        return self._running.run(doing)

    def _tried(self, what: str, outcome: bool) -> None:
        self._budget.tried[f"session: {what} {'succeeds' if outcome else 'is refused'}"] += 1

    @initialize()
    def two_users(self) -> None:
        """Two, so that what befalls one is seen not to befall the other."""
        for _ in range(2):
            number = next(_numbers)
            email, password = f"session{number}@example.com", f"the password of number {number}"
            call = CreateUser(email=email, password=SecretStr(password), enforce_policy=False, replace=True)
            user = self._do(self._platform.operate(call))
            self._accounts.append(Account(email, password, str(user.id)))

    # --- signing in -----------------------------------------------------------------------------------------------

    @precondition(lambda self: sum(each.alive for one in self._accounts for each in one.sessions) < _MOST_SESSIONS)
    @rule(target=sessions, which=st.integers(0, 1), door=st.sampled_from(DOORS))
    def sign_in(self, which: int, door: Door) -> ModelSession | MultipleResults[ModelSession]:
        """By the right password; refused to suspended users alone."""
        account = self._accounts[which]
        if account.suspended and account.wrong_attempts >= _MOST_WRONG:
            return multiple()
        answer = self._do(door.sign_in(self._platform, account.email, account.password))
        self._expect(f"signing in by {door.name}", answer, success=not account.suspended)
        if account.suspended:
            account.wrong_attempts += 1
            return multiple()
        return ModelSession.begun(account, door.name, door.access(answer), door.refresh_token(answer), self._now)

    @precondition(lambda self: sum(one.wrong_attempts for one in self._accounts) < _MOST_WRONG)
    @rule(which=st.integers(0, 1), door=st.sampled_from(DOORS))
    def sign_in_wrongly(self, which: int, door: Door) -> None:
        """By another password; always refused."""
        account = self._accounts[which]
        account.wrong_attempts += 1
        answer = self._do(door.sign_in(self._platform, account.email, f"not {account.password}"))
        self._expect(f"signing in wrongly by {door.name}", answer, success=False)

    # --- what a session's tokens do -------------------------------------------------------------------------------

    @rule(session=sessions, times=st.integers(1, 3), behind=st.integers(0, 3))
    def refresh(self, session: ModelSession, times: int, behind: int) -> None:
        """By the current refresh token, perhaps some times in a row, and then perhaps by one that was used before."""
        for _ in range(times):
            self._refresh(session)
        if 0 < behind < len(session.refresh_tokens):
            self._replay(session, behind)

    def _refresh(self, session: ModelSession) -> None:
        door = _BY_NAME[session.dialect]
        answer = self._do(door.refresh(self._platform, session.account.email, session.refresh_tokens[-1]))
        self._expect(f"refreshing by {door.name}", answer, success=session.can_refresh(self._now))
        if session.can_refresh(self._now):
            successor = door.refresh_token(answer) if session.rotates else None
            assert successor not in session.refresh_tokens
            session.refreshed(door.access(answer), successor, self._now)

    @precondition(lambda self: self._have_used_tokens())
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """By a refresh token that was used before."""
        candidates = self._have_used_tokens()
        session = candidates[data.draw(st.integers(0, len(candidates) - 1))]
        self._replay(session, data.draw(st.integers(1, min(3, len(session.refresh_tokens) - 1))))

    def _replay(self, session: ModelSession, behind: int) -> None:
        door = _BY_NAME[session.dialect]
        used = session.refresh_tokens[-1 - behind]
        answer = self._do(door.refresh(self._platform, session.account.email, used))
        forgiven = session.is_forgiven(behind, self._now)
        self._expect(f"refreshing again by {door.name}", answer, success=forgiven)
        if forgiven:
            assert door.refresh_token(answer) == session.refresh_tokens[-1]
            session.refreshed(door.access(answer), None, self._now)
        else:
            session.replayed(self._now)
            self._refresh(session)  # neither does the current token go on

    def _have_used_tokens(self) -> list[ModelSession]:
        found = [each for account in self._accounts for each in account.sessions if len(each.refresh_tokens) > 1]
        return [each for each in found if each.alive] or found

    @rule(session=sessions, at=st.sampled_from(DOORS))
    def refresh_elsewhere(self, session: ModelSession, at: Door) -> None:
        """At another dialect's door, which has never heard of the token; nothing becomes of the session."""
        if at.name != session.dialect:
            answer = self._do(at.refresh(self._platform, session.account.email, session.refresh_tokens[-1]))
            self._expect(f"refreshing by {at.name} what is of {session.dialect}", answer, success=False)

    @rule(session=sessions, back=st.integers(0, 2))
    def use_access_token(self, session: ModelSession, back: int) -> None:
        """At an endpoint that takes those of every dialect; their end gets around within a moment."""
        number = max(0, len(session.access_tokens) - 1 - back)
        token, _ = session.access_tokens[number]
        promised = session.promise(number, self._now)
        if promised is not None:
            self._do(self._access(token, good=promised))
            self._tried("an access token", promised)

    async def _access(self, token: str, *, good: bool) -> None:
        if good:
            assert await is_let_in(self._platform, token)
            return

        async def refused() -> bool | None:
            return None if await is_let_in(self._platform, token) else True

        await eventually(refused, _DEADLINE_SECONDS, "the access token is refused")

    # --- the end of sessions --------------------------------------------------------------------------------------

    @rule(session=sessions)
    def sign_out(self, session: ModelSession) -> None:
        """As the dialect has it; the access tokens of a session that this ends are refused from that answer on."""
        promised = session.promise(len(session.access_tokens) - 1, self._now)
        if session.dialect == "backoffice" and promised is None:
            return
        answer = self._do(self._sign_out(session))
        if session.dialect == "backoffice":
            expected = {200} if promised else {401}
        elif session.dialect == "enterprise":
            expected = {204} if session.alive else {401}
        else:  # these two say the same of sessions that are over
            expected = {200, 204}
        assert answer.status in expected, (session, answer.status, answer.text)
        if answer.status in {200, 204} and session.alive:
            session.alive = False
            for token, _ in session.access_tokens:
                assert not self._do(is_let_in(self._platform, token))
        self._tried(f"signing out of {session.dialect}", answer.status in {200, 204})

    async def _sign_out(self, session: ModelSession) -> Answer:
        refresh, access = session.refresh_tokens[-1], session.access_tokens[-1][0]
        match session.dialect:
            case "oauth2":
                return await self._platform.send("POST", "/oauth/v2/revoke", json={**CLIENT, "token": refresh})
            case "backoffice":
                headers = {"Authorization": f"Bearer {access}"}
                return await self._platform.send("POST", "/api/v2/signout", headers=headers)
            case "enterprise":
                return await self._platform.send("POST", "/v1/token-revoke", json={"refresh_token": refresh})
        return await self._platform.send("POST", "/auth/logout", json={"refresh_token": refresh})

    def _of_enterprise(self) -> list[ModelSession]:
        found = [each for account in self._accounts for each in account.sessions if each.dialect == "enterprise"]
        return found if len(found) >= _ENOUGH else []

    @precondition(lambda self: self._of_enterprise())
    @rule(data=st.data(), number=st.integers(0, 999))
    def change_password(self, data: st.DataObject, number: int) -> None:
        """By an access token of enterprise and the old password; every session of the user ends."""
        candidates = self._of_enterprise()
        session = candidates[data.draw(st.integers(0, len(candidates) - 1))]
        account = session.account
        promised = session.promise(len(session.access_tokens) - 1, self._now)
        if promised is None:
            return
        body = {
            "access_token": session.access_tokens[-1][0],
            "previous_password": account.password,
            "proposed_password": f"{account.password.partition(' now ')[0]} now {number}",
        }
        if body["proposed_password"] == account.password:
            return
        answer = self._do(self._platform.send("POST", "/v1/change-password", json=body))
        assert answer.status == (204 if promised else 401), (session, answer.status, answer.text)
        self._tried("changing a password", promised)
        if promised:
            account.password = body["proposed_password"]
            self._all_have_ended(account)

    @precondition(lambda self: len(self._accounts[0].sessions) >= _ENOUGH)
    @rule()
    def suspend(self) -> None:
        """The first user, for good; every session of theirs ends."""
        account = self._accounts[0]
        if not account.suspended:
            self._do(self._platform.operate(SuspendUser(identifier=account.email)))
            account.suspended = True
            self._tried("suspending", True)
            self._all_have_ended(account)

    def _all_have_ended(self, account: Account) -> None:
        """Wait until it is so, and known to the gateway: the news travels as an event."""
        query = "SELECT count(*) FROM token.sessions WHERE user_id = $1::text::uuid AND revoked_at IS NULL"

        async def ended() -> bool | None:
            return True if await self._platform.rows(query, account.user_id) == [(0,)] else None

        self._do(eventually(ended, _DEADLINE_SECONDS, "every session of the user has ended"))
        account.end_sessions()
        for session in account.sessions:
            self._do(self._access(session.access_tokens[-1][0], good=False))
        self._platform.clock.advance(1)  # what begins in the same moment counts as begun before

    # --- time -----------------------------------------------------------------------------------------------------

    @rule(passed=st.sampled_from([3, 9, 11, 20 * 60, 2 * 3600, 11 * 3600, 25 * 3600, 8 * 86_400, 31 * 86_400]))
    def time_passes(self, passed: int) -> None:
        """From a moment inside the grace to months."""
        self._platform.clock.advance(timedelta(seconds=passed).total_seconds())

    def _expect(self, what: str, answer: Answer, *, success: bool) -> None:
        assert answer.status == 200 if success else answer.status in _REFUSED, (what, answer.status, answer.text)
        assert gives_tokens(answer) == success, (what, answer.text)
        self._tried(what, success)


@pytest.mark.timeout(0)
def test_sessions_keep_to_the_model(running: RunningPlatform, budget: Budget) -> None:
    """Whatever happens in whichever order, each session lives and ends as promised, and no other with it."""

    class Machine(Sessions):
        def __init__(self) -> None:
            super().__init__(running, budget)

    run_state_machine_as_test(Machine, settings=budget.sessions())
