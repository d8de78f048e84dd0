"""The documented requests of the token API on the whole platform, and the trace that they leave in the logs."""

import asyncio
import base64
import json
import sys
from typing import Any

import pytest
from aiohttp import ClientSession

from deploy.running.components import program
from tests.support.platform import Platform
from tests.support.token_api import CLIENT, USER, TokenApi
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)

CLIENT_EXAMPLE = """
{
  "grant_type": "client_credentials",
  "client_id": "abc123",
  "client_secret": "456789"
}
"""
USER_EXAMPLE = """
{
  "grant_type": "password",
  "client_id": "abc123",
  "client_secret": "456789",
  "username": "someone@example.com",
  "password": "def56789"
}
"""
REFRESH_EXAMPLE = """
{
  "grant_type": "refresh_token",
  "client_id": "abc123",
  "client_secret": "456789",
  "refresh_token": "%s"
}
"""
CODE_BY_EMAIL_EXAMPLE = '{"email": "someone@example.com"}'
CODE_BY_SMS_EXAMPLE = '{"phone": "02345678901234"}'
CLIENT_KEYS = ["access_token", "expires_in", "token_type", "scope"]
USER_KEYS = [*CLIENT_KEYS, "refresh_token"]


class Curl:
    """Sends bodies as they are, with the media type that curl gives them or with JSON's, and expects success."""

    def __init__(self, platform: Platform, http: ClientSession) -> None:
        self._platform = platform
        self._http = http

    async def post(self, path: str, body: str, **headers: str) -> dict[str, Any]:
        """The JSON object of the answer."""
        headers = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        async with self._http.post(self._platform.url + path, data=body.encode(), headers=headers) as response:
            assert response.status == 200, await response.text()
            assert response.headers["Content-Type"] == "application/json"
            answer: dict[str, Any] = json.loads(await response.read())
            return answer


@pytest.fixture
def curl(platform: Platform, http: ClientSession) -> Curl:
    """The client of the examples."""
    return Curl(platform, http)


def expect_tokens(answer: dict[str, Any], keys: list[str]) -> None:
    """The documented keys in the documented order, with the documented values."""
    assert list(answer) == keys
    documented = {"expires_in": 3600, "token_type": "bearer", "scope": None}
    assert {name: answer[name] for name in documented} == documented
    assert all(isinstance(answer[name], str) and answer[name] for name in keys if name.endswith("_token"))


def claims(answer: dict[str, Any]) -> dict[str, Any]:
    """What an access token says, unverified."""
    payload = answer["access_token"].split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded"])
async def test_the_example_of_a_client_yields_a_token(curl: Curl, media_type: str) -> None:
    """The documented request works with the media type of JSON, and with the one that curl puts on it by default."""
    expect_tokens(await curl.post("/oauth/v2/token", CLIENT_EXAMPLE, Content_Type=media_type), CLIENT_KEYS)


async def test_the_examples_of_a_user_yield_and_renew_tokens(curl: Curl) -> None:
    """The documented sign-in, then the documented refresh with the token that it gave."""
    signed_in = await curl.post("/oauth/v2/token", USER_EXAMPLE)
    expect_tokens(signed_in, USER_KEYS)
    renewed = await curl.post("/oauth/v2/token", REFRESH_EXAMPLE % signed_in["refresh_token"])
    expect_tokens(renewed, USER_KEYS)
    assert renewed["refresh_token"] != signed_in["refresh_token"]
    assert claims(renewed)["sub"] == claims(signed_in)["sub"]


async def test_the_example_of_a_code_by_email_signs_the_user_in(curl: Curl, api: TokenApi) -> None:
    """The documented request sends a code, which works as the password of the user who has that address."""
    client = await curl.post("/oauth/v2/token", CLIENT_EXAMPLE)
    bearer = f"Bearer {client['access_token']}"
    sent = await curl.post("/otp/send", CODE_BY_EMAIL_EXAMPLE, Authorization=bearer)
    assert sent == {"data": {"email": "someone@example.com"}, "meta": []}
    code = await api.code_for("someone@example.com")
    by_code = await curl.post("/oauth/v2/token", USER_EXAMPLE.replace("def56789", code))
    expect_tokens(by_code, USER_KEYS)
    by_password = await curl.post("/oauth/v2/token", USER_EXAMPLE)
    assert claims(by_password)["sub"] == claims(by_code)["sub"]


async def test_the_example_of_a_code_by_sms_signs_a_new_user_in(curl: Curl, api: TokenApi) -> None:
    """A number that nobody has gets a code by SMS; the code makes the user and works once."""
    client = await curl.post("/oauth/v2/token", CLIENT_EXAMPLE)
    sent = await curl.post("/otp/send", CODE_BY_SMS_EXAMPLE, Authorization=f"Bearer {client['access_token']}")
    assert sent["meta"] == []
    number = sent["data"]["phone"]
    code = await api.code_for(number)
    sign_in = USER_EXAMPLE.replace("someone@example.com", "02345678901234").replace("def56789", code)
    expect_tokens(await curl.post("/oauth/v2/token", sign_in), USER_KEYS)
    again = await api.grant("password", username=number, password=code)
    assert (again.status, again.body["error"]) == (400, "invalid_grant")


async def test_one_sign_in_leaves_one_line_with_its_id_in_each_log_it_crosses(
    platform: Platform, api: TokenApi
) -> None:
    """Whoever has a request id finds the whole way of the request: one line in each of the four logs."""
    request_id = "trace-of-one-sign-in"
    body = {"grant_type": "password", **CLIENT, **USER}
    answer = await api.request("POST", "/oauth/v2/token", body, {"X-Request-Id": request_id})
    assert (answer.status, answer.headers["X-Request-Id"]) == (200, request_id)
    trace = {
        name: [line for r in platform.replicas(name) for line in r.lines() if line.get("request_id") == request_id]
        for name in ("gateway", "token", "identity", "password", "otp")
    }
    assert {name: len(lines) for name, lines in trace.items()} == {
        "gateway": 1,
        "token": 1,
        "identity": 1,
        "password": 1,
        "otp": 0,
    }
    [seen] = trace["gateway"]
    assert (seen["event"], seen["path"], seen["status"]) == ("request", "/oauth/v2/token", 200)
    subjects = [trace[name][0]["subject"] for name in ("token", "identity", "password")]
    assert subjects == ["token.grant_password.v1", "identity.authenticate.v1", "password.verify.v1"]


async def test_no_log_has_a_secret(platform: Platform, api: TokenApi) -> None:
    """Passwords, client secrets, tokens and codes are in no line of any component, whether a request works or not."""
    created = await platform.run(program("dragoman"), "client", "create", "secretive", "--json")
    generated = json.loads(created)["client_secret"]
    secrets = {generated, CLIENT["client_secret"], USER["password"], "a-wrong-password", "a-wrong-secret"}
    answers = [await api.client_credentials(), signed_in := await api.password()]
    answers.append(await api.grant("refresh_token", refresh_token=signed_in.body["refresh_token"]))
    answers.append(await api.grant("refresh_token", refresh_token=answers[-1].body["access_token"]))
    answers.append(await api.grant("client_credentials", client_id="secretive", client_secret=generated))
    answers.append(await api.grant("client_credentials", client_secret="a-wrong-secret"))
    answers.append(await api.grant("password", username=USER["username"], password="a-wrong-password"))
    answers.append(await api.grant("password", username="nobody@example.com", password="a-wrong-password"))
    assert (await api.send_code(email="secretive@example.com")).status == 200
    code = await api.code_for("secretive@example.com")
    answers.append(await api.grant("password", username="secretive@example.com", password=code))
    answers.append(await api.grant("password", username="secretive@example.com", password=code))
    await api.request("POST", f"/oauth/v2/token?password={USER['password']}", {"password": USER["password"]})
    assert [answer.status for answer in answers] == [200, 200, 200, 400, 200, 401, 400, 400, 200, 400]
    secrets |= {
        code,
        *(answer.body[name] for answer in answers for name in ("access_token", "refresh_token") if name in answer.body),
    }

    lines = [line for replica in platform.every if replica.name != "inbox" for line in replica.lines()]
    assert len(lines) > 20
    for line in lines:
        said = json.dumps({name: value for name, value in line.items() if name not in ("time", "ms")})
        assert not [secret for secret in secrets if secret in said], line


async def test_a_stranger_who_has_no_token_gets_no_code(api: TokenApi) -> None:
    """Codes are sent for clients and users alone."""
    answer = await api.request("POST", "/otp/send", {"email": "stranger@example.com"})
    assert (answer.status, answer.body["error"]) == (401, "access_denied")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Service"'


async def test_loading_the_demo_data_again_puts_it_back(platform: Platform, api: TokenApi) -> None:
    """After `make demo-reset` the examples work as before, and sessions of the replaced users have ended."""
    user = await api.sign_in()
    await platform.run(sys.executable, "-m", "deploy.demo")
    assert (await api.client_credentials()).status == 200
    assert (await api.password()).status == 200

    async def refused() -> bool | None:
        return True if (await user.refresh()).status == 400 else None

    await eventually(refused, 5, "the old session has ended")


async def test_loading_the_demo_data_twice_at_once(platform: Platform, api: TokenApi) -> None:
    """Both loads end well where there is nothing yet: `make seeds` may be typed before `make run` is through."""
    for name in (USER["username"], "foo@bar.com", "admin", "temp", "otto@example.com"):
        await platform.run(program("dragoman"), "user", "delete", name)
    await asyncio.gather(*[platform.run(sys.executable, "-m", "deploy.demo") for _ in range(3)])
    assert (await api.password()).status == 200
