"""One question to each kind of server: do you accept clients now."""

import contextlib
import socket
import struct


def postgres_answers(port: int) -> bool:
    """Whether a PostgreSQL on 127.0.0.1 lets clients sign in (one that still recovers answers with an error)."""
    parameters = b"user\0postgres\0database\0postgres\0\0"
    return _answer(port, struct.pack("!II", 8 + len(parameters), 196608) + parameters, b"R")


def redis_answers(port: int, password: str) -> bool:
    """Whether a Redis on 127.0.0.1 has loaded its data."""
    return _answer(port, f"AUTH {password}\r\nPING\r\n".encode(), b"+OK\r\n+PONG")


def rabbitmq_answers(port: int) -> bool:
    """Whether a broker on 127.0.0.1 opens AMQP 0-9-1 connections: the frame it begins with is of type 1."""
    return _answer(port, b"AMQP\0\0\x09\x01", b"\x01")


def accepts(port: int) -> bool:
    """Whether anything on 127.0.0.1 accepts connections."""
    return _answer(port, b"", b"")


def _answer(port: int, question: bytes, expected: bytes) -> bool:
    received = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0) as connection:
        connection.sendall(question)
        while len(received) < len(expected):
            if not (more := connection.recv(64)):
                return False
            received += more
        return received.startswith(expected)
    return False
