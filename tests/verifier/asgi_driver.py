"""Drives an ASGI application as a server would, one connection at a time."""

from typing import Any

from dragoman_verifier.asgi import App, Message


async def connect(
    app: App, path: str = "/", *authorization: str, kind: str = "http", **scope: Any
) -> tuple[list[Message], dict[str, str]]:
    """What the application sends, and the headers of its answer by lower-case name."""
    headers = [(b"host", b"api"), *((b"authorization", value.encode("latin-1")) for value in authorization)]
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": f"{kind}.connect" if kind == "websocket" else "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": kind, "path": path, "headers": headers, **scope}, receive, send)
    answered = sent[0].get("headers", []) if sent else []
    return sent, {name.decode(): value.decode() for name, value in answered}
