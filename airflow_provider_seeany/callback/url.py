"""The callback URL to pass on when a SeeAny task is created, and the Airflow options that it is made of."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import Asset, conf

from airflow_provider_seeany.callback.token import TokenClaims, sign_token
from airflow_provider_seeany.exceptions import SeeAnyConfigError

MOUNTED_AT = "/seeany"  # the path in the api-server at which the plugin mounts its application

MIN_SECRET = 16


def callback_secrets() -> tuple[str, ...]:
    """Return the secrets of ``[seeany] callback_secret``, the newest first; none if callbacks are off."""
    text = str(conf.get("seeany", "callback_secret", fallback=None) or "")
    secrets = tuple(filter(None, re.split(r"[\s,]+", text)))
    for number, secret in enumerate(secrets, start=1):
        if len(secret) < MIN_SECRET:
            which = "[seeany] callback_secret" if len(secrets) == 1 else f"Secret {number} in [seeany] callback_secret"
            raise SeeAnyConfigError(
                f"{which} is too short: at least {MIN_SECRET} characters, such as `openssl rand -hex 32` prints. "
                "White space and commas separate secrets."
            )
    return secrets


def why_no_callback() -> str | None:
    """Return why no callback can be accepted, as far as this process can tell; ``None`` if it sees no reason."""
    try:
        return None if callback_secrets() else "[seeany] callback_secret is not set here."
    except Exception as error:
        return why_unusable(error)


def why_unusable(error: Exception) -> str:
    """Return a text for what :func:`callback_secrets` raised: a command that an option runs can quote the secret."""
    if isinstance(error, SeeAnyConfigError):
        return str(error)
    return f"[seeany] callback_secret could not be read: {type(error).__name__}"


def asset_uri(asset: Asset | str) -> str:
    """Return the URI of an asset as Airflow stores it; a text that is no URI, such as an asset's name, as it is."""
    return Asset(asset).uri if isinstance(asset, str) else asset.uri


def callback_url(claims: TokenClaims) -> str:
    """Return the URL whose callbacks have these claims; it takes both options."""
    secrets = callback_secrets()
    if not secrets:
        raise SeeAnyConfigError(
            "There is no callback URL without a secret. Set [seeany] callback_secret to a random text, the same for "
            "the api-server and the workers, such as `openssl rand -hex 32` prints."
        )
    base_url = str(conf.get("api", "base_url", fallback=None) or "").rstrip("/")
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SeeAnyConfigError(
            f"There is no callback URL without [api] base_url, which is {base_url!r}. Set it to the address at which "
            "SeeAny reaches the api-server, such as https://airflow.example.com."
        )
    return f"{base_url}{MOUNTED_AT}/callback/{sign_token(claims, secret=secrets[0])}"
