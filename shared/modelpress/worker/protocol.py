"""What parent and child say to each other: JSON lines, the child's standard input and output.

The child trusts the parent, which names code to import; the parent takes nothing from the child but facts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from modelpress.catalogue import Kind

Fault = Literal["input", "inputs-broken", "store-full", "retryable", "kernel"]
"""Why a step has no result: the user's input; a blob of an input that cannot be read; no space left; something that
trying again may mend; the kernel's own error."""

MAX_WORDS = 10_000
"""Characters of what a kernel says that is kept in its run's record, which every list of runs reads."""


def _writable(text: str) -> str:
    """What of ``text`` UTF-8 has not, such as the bytes of an odd file name, is written out."""
    return text.encode(errors="backslashreplace").decode()


def _brief(text: str) -> str:
    return text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]} [...]"


Text = Annotated[str, AfterValidator(_writable)]
Words = Annotated[Text, AfterValidator(_brief)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class StoreAddress(_Message):
    """Where the child opens its store."""

    root: str
    tenant: str
    durability: Literal["process", "power"]


class StepRequest(_Message):
    """Run a kernel. ``run`` and ``params_type`` are ``module:name``, from the parent's catalogue.

    ``inputs`` map ports to digests, several for a port that takes many.
    """

    type: Literal["step"] = "step"
    store: StoreAddress
    key: str
    run: str
    params_type: str
    params: dict[str, Any]
    inputs: dict[str, str | tuple[str, ...]]
    outputs: dict[str, Kind]
    metrics: tuple[str, ...]
    seed: int
    threads: int
    log_path: str
    """The child's standard output and error go there while the step runs."""


class Hello(_Message):
    """The child is warm. ``worker`` is what it is: instruction set, versions as loaded."""

    type: Literal["hello"] = "hello"
    worker: dict[str, Any]


class Progress(_Message):
    type: Literal["progress"] = "progress"
    stage: Words
    done: float
    total: float
    metrics: dict[str, float] = Field(default_factory=dict)


class Log(_Message):
    """A line that the child wrote to the step's log too."""

    type: Literal["log"] = "log"
    text: Text


class Done(_Message):
    """The outputs are stored; nothing is accepted yet."""

    type: Literal["done"] = "done"
    outputs: dict[str, str]
    metrics: dict[str, float]


class Failed(_Message):
    """The full traceback is in the step's log. ``broken`` are the blobs that cannot be read, by port."""

    type: Literal["failed"] = "failed"
    fault: Fault
    message: Words
    broken: dict[str, tuple[str, ...]] = Field(default_factory=dict)


Reply = Annotated[Hello | Progress | Log | Done | Failed, Field(discriminator="type")]
_REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)


def to_line(message: StepRequest | Reply) -> bytes:
    return message.model_dump_json().encode() + b"\n"


def parse_request(line: bytes) -> StepRequest:
    return StepRequest.model_validate_json(line)


def parse_reply(line: bytes) -> Reply:
    return _REPLY.validate_json(line)
