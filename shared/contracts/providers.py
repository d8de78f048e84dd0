"""What `identity` answers about external providers: who may sign somebody in, and who it was."""

from typing import Literal

from shared.bus.messages import Call, Done, Reply, Secret
from shared.contracts.identity import Authentication

ProviderKind = Literal["oidc", "oauth2", "github", "facebook"]


class Provider(Reply):
    """An external provider as operators see it.

    `name` is its part of the path (`a-z`, `0-9`, dash). `oidc` is known by its `issuer` alone (OpenID Connect
    Discovery); `oauth2` by its three endpoints and by the names of the fields in which its user info has the subject,
    the e-mail address and whether that is verified; the other kinds know theirs.
    `secret` is the name of the client secret among those that were mounted for `identity`, never the secret itself.
    `trust_email`: somebody whose verified e-mail address is a user's is that user.
    `allow_new_users`: somebody who is nobody's becomes a user by a verified e-mail address.
    """

    name: str
    kind: ProviderKind = "oidc"
    label: str = ""
    icon: str = ""
    client_id: str
    secret: str
    scopes: list[str] = []
    issuer: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    subject_field: str = "sub"
    email_field: str = "email"
    email_verified_field: str = "email_verified"
    trust_email: bool = False
    allow_new_users: bool = False


class ProviderList(Reply):
    """All of them, by name."""

    providers: list[Provider]


class AddProvider(Call[Provider], subject="identity.add_provider.v1", callers=("operator",), idempotent=True):
    """Add a provider, or with `replace` overwrite the one of that name.

    Whoever it has signed in stays linked to it, unless the new one is another provider (kind, issuer, user info).

    Errors: conflict, invalid_request with `detail.field`.
    """

    provider: Provider
    replace: bool = False


class RemoveProvider(Call[Done], subject="identity.remove_provider.v1", callers=("operator",), idempotent=True):
    """Remove a provider with its links; users and sessions stay. Error: not_found."""

    name: str


class ListProviders(
    Call[ProviderList], subject="identity.list_providers.v1", callers=("gateway", "operator"), idempotent=True
):
    """All providers."""


class ProviderChecked(Reply):
    """What came of a check: what is wrong, in words for an operator, nothing where all is well."""

    problems: list[str]
    endpoints: dict[str, str] = {}


class CheckProvider(
    Call[ProviderChecked], subject="identity.check_provider.v1", callers=("operator",), idempotent=True, timeout=15.0
):
    """Ask a provider for its discovery document and keys, and whether it knows our client. Error: not_found."""

    name: str


class ProviderRedirect(Reply):
    """Where to send the browser (RFC 6749 §4.1.1, with PKCE S256, state and nonce)."""

    url: Secret


class BeginProviderSignIn(
    Call[ProviderRedirect], subject="identity.begin_provider_sign_in.v1", callers=("gateway",), timeout=5.0
):
    """Begin to sign somebody in through a provider.

    `callback_url` is where the provider sends the browser back to. `browser` is a secret that this browser keeps
    meanwhile: the sign-in can be finished by no other one. The state lives 5 minutes and works once.
    Errors: not_found for an unknown provider, unavailable where it cannot be asked.
    """

    provider: str
    dialect: str
    callback_url: str
    browser: Secret


class AuthenticateByProvider(
    Call[Authentication], subject="identity.authenticate_by_provider.v1", callers=("token",), timeout=5.0
):
    """Turn what a provider sent the browser back with into a user or a challenge.

    `issuer` is the `iss` of the callback, where there was one (RFC 9207). A user with a second factor always gets a
    challenge for it, which is bound to `dialect`.
    Errors: wrong_password for whatever is wrong with the state, the browser, the code or the provider's answer;
    no_such_user where nobody may become of it (an e-mail address that is not verified, or not trusted, or no new
    users); user_suspended; password_change_required; unavailable where the provider cannot be asked;
    deadline_exceeded. Not idempotent: the state and the code are spent by it.
    """

    provider: str
    dialect: str
    state: Secret
    browser: Secret
    code: Secret
    issuer: str | None = None
    source: str | None = None
