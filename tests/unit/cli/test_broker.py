"""What `dragoman broker` makes of the components' URLs, and of a broker that does not answer."""

import base64
import hashlib
import json

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from shared.bus.permissions import COMPONENTS, permissions, topic_permissions

URLS = {f"DRAGOMAN_{name.upper()}_RABBITMQ_URL": f"amqp://{name}:hidden-{name}%21@mq/" for name in COMPONENTS}


def broker(*arguments: str, **environment: str) -> Result:
    """Run the command in this process."""
    ended = CliRunner().invoke(main, ["broker", *arguments], env=environment)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended


def test_the_definitions_have_each_components_user_and_permissions() -> None:
    """A broker that loads what is printed lets each component do what the contracts say, and no more."""
    document = json.loads(broker("definitions", **URLS).stdout)
    assert [user["name"] for user in document["users"]] == list(COMPONENTS)
    assert all(user["tags"] == "" for user in document["users"])
    assert document["vhosts"] == [{"name": "/"}]
    assert {given.pop("user"): given for given in document["permissions"]} == {
        name: {"vhost": "/", **permissions(name)} for name in COMPONENTS
    }
    assert len(document["topic_permissions"]) == sum(len(topic_permissions(name)) for name in COMPONENTS)


def test_the_definitions_have_hashes_instead_of_passwords() -> None:
    """Whoever reads the file learns no password; the broker can still tell the right one."""
    ended = broker("definitions", **URLS)
    assert "hidden" not in ended.stdout
    salts = set()
    for user in json.loads(ended.stdout)["users"]:
        assert user["hashing_algorithm"] == "rabbit_password_hashing_sha256"
        raw = base64.b64decode(user["password_hash"])
        assert raw[4:] == hashlib.sha256(raw[:4] + f"hidden-{user['name']}!".encode()).digest()
        salts.add(raw[:4])
    assert len(salts) == len(COMPONENTS)


def test_a_virtual_host_of_its_own() -> None:
    """The virtual host of the URLs is made, and the permissions hold there."""
    urls = {name: url.replace("@mq/", "@mq/team%2Fids") for name, url in URLS.items()}
    document = json.loads(broker("definitions", **urls).stdout)
    assert document["vhosts"] == [{"name": "team/ids"}]
    assert {given["vhost"] for given in document["permissions"] + document["topic_permissions"]} == {"team/ids"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"DRAGOMAN_OTP_RABBITMQ_URL": ""}, "DRAGOMAN_OTP_RABBITMQ_URL: is not set"),
        ({"DRAGOMAN_OTP_RABBITMQ_URL": "http://otp:hidden@mq/"}, "DRAGOMAN_OTP_RABBITMQ_URL: is not an AMQP URL"),
        ({"DRAGOMAN_OTP_RABBITMQ_URL": "amqp://guest:hidden@mq/"}, "DRAGOMAN_OTP_RABBITMQ_URL: its user has to be otp"),
        ({"DRAGOMAN_OTP_RABBITMQ_URL": "amqp://otp@mq/"}, "DRAGOMAN_OTP_RABBITMQ_URL: has no password"),
        ({"DRAGOMAN_OTP_RABBITMQ_URL": "amqp://[otp:hidden@mq/"}, "DRAGOMAN_OTP_RABBITMQ_URL: is not a URL"),
        ({"DRAGOMAN_OTP_RABBITMQ_URL": "amqp://otp:hidden@m\u2100q/"}, "DRAGOMAN_OTP_RABBITMQ_URL: is not a URL"),
        ({"DRAGOMAN_OTP_RABBITMQ_URL": "amqp://otp:hidden@mq/x"}, "the URLs name several virtual hosts: /, x"),
    ],
)
def test_wrong_urls(wrong: dict[str, str], told: str) -> None:
    """A URL that cannot be right is told by its setting, without the password, and nothing is printed."""
    ended = broker("definitions", **(URLS | wrong))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert told in ended.stderr
    assert "hidden" not in ended.stderr


def test_all_mistakes_at_once() -> None:
    """Whoever forgot several settings learns of each of them the first time."""
    ended = broker("definitions")
    assert ended.exit_code == 1
    for name in URLS:
        assert f"{name}: is not set" in ended.stderr


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "DRAGOMAN_BROKER_MANAGEMENT_URL is not set"),
        ("nonsense", "DRAGOMAN_BROKER_MANAGEMENT_URL is not an HTTP URL"),
        ("http://[admin:hidden@mq", "DRAGOMAN_BROKER_MANAGEMENT_URL is not an HTTP URL"),
        ("http://admin:hidden@mq:port", "DRAGOMAN_BROKER_MANAGEMENT_URL is not an HTTP URL"),
        ("http://ad%3Amin:hidden@mq", "DRAGOMAN_BROKER_MANAGEMENT_URL is not an HTTP URL"),
    ],
)
def test_wrong_management_url(url: str, told: str) -> None:
    """A management URL that cannot be right is told at once, without its password."""
    ended = broker("apply", **URLS, DRAGOMAN_BROKER_MANAGEMENT_URL=url)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert told in ended.stderr
    assert "hidden" not in ended.stderr
