"""The header `Idempotency-Key`: a request that is sent twice makes one resource."""

from typing import Annotated

from fastapi import Depends, Header

from service.domain.errors import FieldError, Malformed

_KEY_LENGTH = 255


async def _idempotency_key(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="The same key and body give the same resource; the same key with another body is refused.",
            examples=["3f1f0e0e-1c3c-4f6b-9a53-1f4a7f1b2f60"],
        ),
    ] = None,
) -> str | None:
    if key is not None and not (0 < len(key) <= _KEY_LENGTH and key.isascii() and key.isprintable()):
        msg = f"must be 1 to {_KEY_LENGTH} printable ASCII characters"
        raise Malformed(f"Idempotency-Key: {msg}", errors=[FieldError(loc=["header", "Idempotency-Key"], msg=msg)])
    return key


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
