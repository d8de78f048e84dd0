"""What a sender of text messages gets from the Twilio-compatible endpoint."""

import pytest

from .conftest import Inbox

pytestmark = pytest.mark.asyncio

FORM = {"To": "+6421345678", "From": "+6400", "Body": "Dein Code: 123456 für …"}


async def test_a_text_message_is_answered_as_twilio_does_and_kept(inbox: Inbox) -> None:
    """Sending answers 201 with Twilio's shape, and the text is listed under the answer's sid."""
    status, answer = await inbox.send_sms(FORM)
    assert status == 201
    assert answer["sid"].startswith("SM")
    assert len(answer["sid"]) == 34
    expected = {"status": "queued", "to": FORM["To"], "from": FORM["From"], "body": FORM["Body"], "error_code": None}
    assert {name: answer[name] for name in expected} == expected
    [message] = await inbox.messages()
    assert (message["id"], message["channel"], message["to"]) == (answer["sid"], "sms", FORM["To"])
    assert (message["subject"], message["text"]) == ("", FORM["Body"])


@pytest.mark.parametrize("missing", ["To", "From", "Body"])
async def test_a_missing_field_is_named(inbox: Inbox, missing: str) -> None:
    """A missing or empty field is a 400 in Twilio's error shape, and nothing is kept."""
    for form in ({name: value for name, value in FORM.items() if name != missing}, {**FORM, missing: ""}):
        status, answer = await inbox.send_sms(form)
        assert (status, answer["status"]) == (400, 400)
        assert isinstance(answer["code"], int)
        assert missing.lower() in answer["message"].lower()
    assert await inbox.messages() == []


@pytest.mark.parametrize("charset", ["utf-8", "no-such-charset"])
async def test_a_body_that_is_no_form_is_refused(inbox: Inbox, charset: str) -> None:
    """Bytes that cannot be read as a form are a 400 too."""
    headers = {
        "Authorization": "Basic QUMxOnNlY3JldA==",
        "Content-Type": f"application/x-www-form-urlencoded; charset={charset}",
    }
    async with inbox.http.post("/sms/Messages.json", data=b"To=\xff", headers=headers) as response:
        assert response.status == 400


@pytest.mark.parametrize("authorization", [None, "Bearer x", "Basic !"])
async def test_credentials_are_required(inbox: Inbox, authorization: str | None) -> None:
    """Without Basic credentials the answer is 401, and nothing is kept."""
    headers = {"Authorization": authorization} if authorization else {}
    async with inbox.http.post("/sms/Messages.json", data=FORM, headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (401, 20003)
        assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert await inbox.messages() == []


@pytest.mark.parametrize("header", ["Idempotency-Key", "I-Twilio-Idempotency-Token"])
async def test_a_repeated_idempotency_key_sends_nothing_new(inbox: Inbox, header: str) -> None:
    """A repeat with the same key gets the first answer; another key sends again."""
    first = await inbox.send_sms(FORM, **{header: "one"})
    assert await inbox.send_sms(FORM, **{header: "one"}) == first
    assert len(await inbox.messages()) == 1
    await inbox.send_sms(FORM, **{header: "two"})
    assert len(await inbox.messages()) == 2
