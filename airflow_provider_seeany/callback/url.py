"""The callback URL to give to whatever creates a SeeAny task, and the two options of Airflow that it is made of."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import conf

from airflow_provider_seeany.callback.token import TokenClaims, sign_token
from airflow_provider_seeany.exceptions import SeeAnyConfigError

MOUNTED_AT = "/seeany"
"""The path of the api-server below which the plugin serves."""

MIN_SECRET = 16


def callback_secrets() -> tuple[str, ...]:
    """
    Return the secrets of ``[seeany] callback_secret``; none if callbacks are off.

    There may be several, separated by white space or commas, the newest first: it signs, and all of them are accepted.
    A line break at the end, which the reading of a file tends to add, makes no difference.

    :raises SeeAnyConfigError: if one of them is too short to be one.
    """
    text = str(conf.get("seeany", "callback_secret", fallback=None) or "")
    secrets = tuple(filter(None, re.split(r"[\s,]+", text)))
    for number, secret in enumerate(secrets, start=1):
        if len(secret) < MIN_SECRET:
            which = "[seeany] callback_secret" if len(secrets) == 1 else f"Secret {number} in [seeany] callback_secret"
            raise SeeAnyConfigError(
                f"{which} is too short: at least {MIN_SECRET} characters, such as `openssl rand -hex 32` prints. "
                "White space and commas stand between one secret and the next."
            )
    return secrets


def why_no_callback() -> str | None:
    """Return why no ring can be answered, as far as this process can tell; ``None`` if it sees no reason."""
    try:
        return None if callback_secrets() else "[seeany] callback_secret is not set here."
    except Exception as error:
        return why_unusable(error)


def why_unusable(error: Exception) -> str:
    """
    Return why there is no secret, for a person.

    :param error: what :func:`callback_secrets` raised. An option may be set as a command, and the text of one that
        fails may quote what was read; so only this provider's own text is told.
    """
    if isinstance(error, SeeAnyConfigError):
        return str(error)
    return f"[seeany] callback_secret could not be read: {type(error).__name__}"


def callback_url(ringer: TokenClaims) -> str:
    """
    Return the URL at which this may be rung for.

    :raises SeeAnyConfigError: if an option that it takes is not set.
    """
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
    return f"{base_url}{MOUNTED_AT}/callback/{sign_token(ringer, secret=secrets[0])}"
