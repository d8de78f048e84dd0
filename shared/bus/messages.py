"""The shape of calls, replies and events, and the register of all that exist."""

from typing import Annotated, Any, ClassVar, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, PlainSerializer, SecretStr

Secret = Annotated[SecretStr, PlainSerializer(lambda value: value.get_secret_value(), when_used="json")]
"""A string that is masked in every log and repr, and readable only on the wire and by `get_secret_value`."""


class Message(BaseModel):
    """Anything that crosses the bus: frozen, tolerant of fields that a newer version added, silent about values."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __init_subclass__(cls, **_arguments: Any) -> None:
        """Let class arguments pass; `__pydantic_init_subclass__` reads them once the fields are known."""
        super().__init_subclass__()


class Reply(Message):
    """What answers a call."""


class Done(Reply):
    """The answer of a call that has nothing to tell but that it was done."""


ReplyT = TypeVar("ReplyT", bound=Reply)


class Call(Message, Generic[ReplyT]):
    """A request to one service, typed by what answers it.

        class GetKeys(Call[KeySet], subject="token.get_keys.v1", callers=("gateway",), idempotent=True): ...

    `subject` is `<owner>.<verb>.v<N>`; `callers` are the components that may send it;
    `idempotent` says that doing it twice harms nothing, so that another replica may take it over from a dead one;
    `timeout` is in seconds, the longest a caller waits, cut by its own deadline;
    `cpu_heavy` calls always travel alone, so that they spread over replicas.
    """

    subject: ClassVar[str] = ""
    owner: ClassVar[str] = ""
    callers: ClassVar[frozenset[str]] = frozenset()
    idempotent: ClassVar[bool] = False
    timeout: ClassVar[float] = 3.0
    cpu_heavy: ClassVar[bool] = False
    reply: ClassVar[type[Reply]] = Reply

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        *,
        subject: str | None = None,
        callers: tuple[str, ...] = (),
        idempotent: bool = False,
        timeout: float = 3.0,
        cpu_heavy: bool = False,
        **kwargs: Any,
    ) -> None:
        """Read the class arguments and enter the call in the register."""
        super().__pydantic_init_subclass__(**kwargs)
        if subject is None:  # Call[X] itself, or a mix-in
            return
        cls.subject, cls.owner = subject, subject.split(".", 1)[0]
        cls.callers, cls.idempotent = frozenset(callers), idempotent
        cls.timeout, cls.cpu_heavy = timeout, cpu_heavy
        cls.reply = _reply_of(cls)
        _register(CALLS, subject, cls)


class Event(Message):
    """Something that happened, told at least once to each subscriber.

    `subject` is `<owner>.<past participle>.v<N>`.
    `subscribers` are the services that must hear it: until their queue exists the event waits in the outbox.
    `lane` names a field of a few possible strings (a Literal): the events of each are worked on in a lane of their own,
    so that none waits for those of another.
    """

    subject: ClassVar[str] = ""
    owner: ClassVar[str] = ""
    subscribers: ClassVar[frozenset[str]] = frozenset()
    lane: ClassVar[str] = ""
    lanes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(
        cls, *, subject: str | None = None, subscribers: tuple[str, ...] = (), lane: str = "", **kwargs: Any
    ) -> None:
        """Read the class arguments and enter the event in the register."""
        super().__pydantic_init_subclass__(**kwargs)
        if subject is None:
            return
        cls.subject, cls.owner = subject, subject.split(".", 1)[0]
        cls.subscribers = frozenset(subscribers)
        cls.lane, cls.lanes = lane, get_args(cls.model_fields[lane].annotation) if lane else ()
        _register(EVENTS, subject, cls)


CALLS: dict[str, type[Call[Any]]] = {}
EVENTS: dict[str, type[Event]] = {}


def _reply_of(cls: type[Call[Any]]) -> type[Reply]:
    for base in cls.__mro__:
        arguments = getattr(base, "__pydantic_generic_metadata__", {}).get("args", ())
        if arguments and issubclass(arguments[0], Reply):
            return arguments[0]  # type: ignore[no-any-return]
    raise TypeError(f"{cls.__name__} names no reply: write class {cls.__name__}(Call[SomeReply], …)")


def _register(register: dict[str, Any], subject: str, cls: type[Message]) -> None:
    if subject in register:
        raise TypeError(f"{subject} is declared twice")
    register[subject] = cls


__all__ = ["CALLS", "EVENTS", "Call", "Done", "Event", "Message", "Reply", "Secret"]
