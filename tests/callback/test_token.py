"""Tokens: signed claims, and only such as a database can hold."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from airflow_provider_seeany.callback.token import (
    MAX_ASSET,
    MAX_NAME,
    MAX_TOKEN,
    TokenClaims,
    sign_token,
    verify_token,
)
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

SECRET = "the-secret-of-the-callbacks-0123456789"
GOOD = sign_token(TokenClaims("studio"), secret=SECRET)
WAITING = TaskInstanceKey("dag", "run", "wait", 3)


@pytest.mark.parametrize(
    "claims",
    [
        TokenClaims("任务"),
        TokenClaims("studio", WAITING),
        TokenClaims("studio", TaskInstanceKey("d", "r", "t")),
        TokenClaims("studio", asset="s3://桶/视频"),
        TokenClaims("studio", WAITING, "videos"),
    ],
)
def test_a_token_has_the_claims_that_were_signed(claims: TokenClaims) -> None:
    assert verify_token(sign_token(claims, secret=SECRET), secrets=[SECRET]) == claims


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
NAMES = st.text(LETTERS, min_size=1, max_size=MAX_NAME) | st.text(LETTERS, min_size=240, max_size=MAX_NAME)


@given(NAMES, NAMES, NAMES, NAMES, st.integers(-1, 2**31 - 1))
def test_every_name_that_airflow_stores_fits_into_a_token(
    conn_id: str, dag_id: str, run_id: str, task_id: str, map_index: int
) -> None:
    claims = TokenClaims(conn_id, TaskInstanceKey(dag_id, run_id, task_id, map_index))

    assert verify_token(sign_token(claims, secret=SECRET), secrets=[SECRET]) == claims


def test_a_token_for_the_longest_names_is_read() -> None:
    # Of characters that take most room, without anything that compression could save.
    chance = random.Random(1)
    conn_id, *names = ("".join(chr(chance.randint(0x10000, 0x10FFFF)) for _ in range(MAX_NAME)) for _ in range(4))
    asset = "".join(chr(chance.randint(0x10000, 0x10FFFF)) for _ in range(MAX_ASSET))
    claims = TokenClaims(conn_id, TaskInstanceKey(*names, map_index=2**31 - 1), asset)

    assert verify_token(sign_token(claims, secret=SECRET), secrets=[SECRET]) == claims


@pytest.mark.parametrize("map_index", ["3", 1.0, True, None, -2, 2**31])
def test_a_map_index_that_no_task_instance_has_is_rejected_when_the_url_is_made(map_index: Any) -> None:
    with pytest.raises(ValueError, match="map_index"):
        TokenClaims("studio", TaskInstanceKey("dag", "run", "task", map_index))


@pytest.mark.parametrize("asset", ["", "x" * (MAX_ASSET + 1), "a\0b", 7])
def test_an_asset_that_airflow_cannot_have_is_rejected_when_the_url_is_made(asset: Any) -> None:
    with pytest.raises(ValueError, match="asset"):
        TokenClaims("studio", asset=asset)


GOOD_NAMES = ("studio", "dag", "run", "task", 3)
BAD_PARTS = [
    *((at, value) for at in range(4) for value in ("a\0b", "", "x" * 251, 7, None)),
    *((4, value) for value in ("3", 1.5, True, None, -2, 2**31, 2**64)),
]


@pytest.mark.parametrize(("at", "value"), BAD_PARTS, ids=ascii)
def test_a_token_with_a_name_that_no_database_holds_is_none_of_ours(at: int, value: object) -> None:
    claims = [value if at == index else good for index, good in enumerate(GOOD_NAMES)]
    serializer = URLSafeSerializer(
        SECRET, salt="airflow-provider-seeany.callback", signer_kwargs={"digest_method": hashlib.sha256}
    )
    token = serializer.dumps([claims[0], claims[1:]])

    assert verify_token(token, secrets=[SECRET]) is None


def test_a_token_is_signed_with_sha_256() -> None:
    claims, _, signature = GOOD.partition(".")
    key = hashlib.sha256(b"airflow-provider-seeany.callback" + b"signer" + SECRET.encode()).digest()
    expected = hmac.new(key, claims.encode(), hashlib.sha256).digest()

    assert signature == base64.urlsafe_b64encode(expected).decode().rstrip("=")


@pytest.mark.parametrize(("length", "expected"), [(MAX_TOKEN, TokenClaims("studio")), (MAX_TOKEN + 1, None)])
def test_a_token_is_read_up_to_its_maximum_length(length: int, expected: TokenClaims | None) -> None:
    claims, _, signature = GOOD.partition(".")
    # What is no base64 is skipped when a signature is read; with its padding, at any length.
    token = f"{claims}.{f'{signature}='.rjust(length - len(claims) - 1, '*')}"
    assert len(token) == length

    assert verify_token(token, secrets=[SECRET]) == expected
