"""Binds the arguments of a ``create`` callable before anything is stored or sent, so that wrong ones cost nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import determine_kwargs

from airflow_provider_seeany.exceptions import SeeAnyConfigError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


def bound_call(
    create: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any], context: Context
) -> Callable[[], Any]:
    """
    Return the call, with those values of the context that the callable names as parameters.

    :raises SeeAnyConfigError: if it cannot be called so.
    """
    others = {name: value for name, value in context.items() if name not in kwargs}
    try:
        given = {**determine_kwargs(create, args, others), **kwargs}
        inspect.signature(create).bind(*args, **given)
    except (TypeError, ValueError) as error:
        raise SeeAnyConfigError(f"create cannot be called with these op_args and op_kwargs: {error}.") from None
    return partial(create, *args, **given)
