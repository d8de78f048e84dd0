"""The way of codes to their receivers, as far as it can be tried without sending anything."""

from email.utils import parseaddr

import aiosmtplib

from cli.checks.deployment import Deployment
from cli.checks.finding import Findings
from services.otp.settings import OtpSettings
from shared.errors import reason

_SECONDS = 10.0
_HERE = {"localhost", "127.0.0.1", "::1"}


async def check_delivery(deployment: Deployment) -> list[Findings]:
    """Greet the mail server, encrypt and sign in as `otp` would. SMS are not tried: asking would send one."""
    findings = Findings("delivery")
    settings = deployment.settings.get("otp")
    if not isinstance(settings, OtpSettings):
        findings.skip("e-mail", "the settings of otp are not here, or not right")
        return [findings]
    if not settings.smtp_host:
        findings.warn("e-mail", "is off: codes by e-mail are refused", "DRAGOMAN_OTP_SMTP_HOST turns it on")
    else:
        await _check_mail_server(settings, findings)
    findings.skip("sms", "is off" if not settings.sms_url else "is on; trying it would send one")
    return [findings]


async def _check_mail_server(settings: OtpSettings, findings: Findings) -> None:
    at = f"{settings.smtp_host}:{settings.smtp_port}"
    client = aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        timeout=_SECONDS,
        use_tls=settings.smtp_tls == "tls",
        start_tls=settings.smtp_tls == "starttls",
        local_hostname=parseaddr(settings.mail_from)[1].rpartition("@")[2],
    )
    try:
        async with client:
            if settings.smtp_username:
                await client.login(settings.smtp_username, settings.smtp_password.get_secret_value())
            offers_encryption = client.supports_extension("starttls")
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        findings.problem(
            "e-mail",
            f"{at} with tls={settings.smtp_tls}: {reason(error)}",
            "DRAGOMAN_OTP_SMTP_HOST, _PORT, _TLS, _USERNAME and _PASSWORD say how it is reached",
        )
        return
    if settings.smtp_tls == "none" and (offers_encryption or settings.smtp_host not in _HERE):
        found = f"{at} takes messages; codes travel readable"
        findings.warn("e-mail", found, "set DRAGOMAN_OTP_SMTP_TLS to starttls or tls")
    else:
        signed_in = ", signed in" if settings.smtp_username else ""
        findings.ok("e-mail", f"{at} takes messages, tls={settings.smtp_tls}{signed_in}")
