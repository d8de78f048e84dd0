"""Reads properties that break the rules of AMQP, text that is no UTF-8 for instance.

The client library ends the whole connection over one such message, with every call on it; the broker, which does not
look at them, then delivers it again. Read leniently it is refused or parked like any other message that makes no sense.
"""

import struct
from collections.abc import Callable
from typing import Any

from pamqp import decode

_Decoder = Callable[[bytes], tuple[int, Any]]


def read_leniently() -> None:
    """From now on and in all of this process: doing it twice changes nothing."""
    decode.METHODS["shortstr"] = _short_text
    decode.METHODS["table"] = _or_else(decode.field_table, lambda value: (4 + struct.unpack(">I", value[:4])[0], {}))
    decode.METHODS["timestamp"] = _or_else(decode.timestamp, lambda _: (8, None))


def _short_text(value: bytes) -> tuple[int, str]:
    length = value[0]
    return 1 + length, value[1 : 1 + length].decode(errors="replace")


def _or_else(decoder: _Decoder, instead: _Decoder) -> _Decoder:
    def lenient(value: bytes) -> tuple[int, Any]:
        try:
            return decoder(value)
        except (ValueError, OverflowError, OSError):
            return instead(value)

    return lenient
