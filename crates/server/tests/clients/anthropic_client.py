"""Anthropic's own client: models, messages, its stream helper, thinking sent back, its tool runner, a form, counting,
errors. Everything that it prints is compared.
"""

import sys

import anthropic
from anthropic.types import RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

URL, MODEL = sys.argv[1:]
client = anthropic.Anthropic(base_url=URL, api_key="none", max_retries=0)
EVENT = TypeAdapter(RawMessageStreamEvent)

TOOL = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
ADAPTIVE = {"type": "adaptive"}


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def models() -> None:
    listed = [model.id for model in client.models.list()]
    model = client.models.retrieve(MODEL)
    print("models:", listed == [MODEL], model.id == MODEL, model.lifecycle)


def plain() -> None:
    answer = client.messages.create(
        model=MODEL, max_tokens=100, system="Be short.", messages=[user("2+2?")]
    )
    print("message:", [block.text for block in answer.content], answer.stop_reason)
    usage = answer.usage
    thinking = usage.output_tokens_details.thinking_tokens
    print("usage:", usage.output_tokens, thinking, usage.cache_read_input_tokens)
    print("request:", answer._request_id.startswith("req-"))


def events() -> None:
    """Each event is what Anthropic's types say, and in their order."""
    stream = client.messages.create(
        model=MODEL,
        max_tokens=100,
        messages=[user("Name a bird.")],
        thinking=ADAPTIVE,
        stream=True,
    )
    kinds = []
    for event in stream:
        EVENT.validate_python(event.to_dict(), strict=False)
        kind = event.type
        if kind == "content_block_delta":
            kind = event.delta.type
        if kinds[-1:] != [kind]:
            kinds.append(kind)
    print("events:", *kinds)


def stream_helper() -> None:
    with client.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=[user("Name a bird.")],
        thinking=ADAPTIVE,
        stop_sequences=["🐦"],
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    print("stream helper:", repr(text), final.stop_reason, final.stop_sequence)
    print("its thinking:", repr(final.content[0].thinking))


def sent_back() -> None:
    """Thinking between calls comes back as it was, with its signature."""
    messages = [user("Weather in Rome?")]
    for stream in (False, True):
        asked = {
            "model": MODEL,
            "max_tokens": 100,
            "messages": messages,
            "tools": [TOOL],
            "thinking": ADAPTIVE,
        }
        if stream:
            with client.messages.stream(**asked) as events:
                answer = events.get_final_message()
        else:
            answer = client.messages.create(**asked)
        call = answer.content[-1]
        print("call:", call.name, call.input, answer.stop_reason)
        messages.append({"role": "assistant", "content": answer.content})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}
        messages.append({"role": "user", "content": [result]})
    asked["messages"] = messages
    counted = client.messages.count_tokens(
        model=MODEL, messages=messages, tools=[TOOL], thinking=ADAPTIVE
    )
    answer = client.messages.create(**asked)
    print("after calls:", repr(answer.content[-1].text))
    print("counted:", counted.input_tokens == answer.usage.input_tokens)
    messages[1]["content"][0].thinking = "Oslo first."
    try:
        client.messages.create(**asked)
    except anthropic.BadRequestError as error:
        print("altered:", error.type, "Invalid `signature`" in error.message)


@anthropic.beta_tool
def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: Its name.
    """
    return f"sun in {city}"


def tool_runner() -> None:
    for stream in (False, True):
        runner = client.beta.messages.tool_runner(
            model=MODEL,
            max_tokens=100,
            tools=[get_weather],
            messages=[user("Weather in Rome?")],
            thinking=ADAPTIVE,
            stream=stream,
        )
        final = runner.until_done()
        print("tool runner:", repr(final.content[-1].text), final.stop_reason)


class Verdict(BaseModel):
    prime: bool


def parse() -> None:
    answer = client.messages.parse(
        model=MODEL, max_tokens=100, messages=[user("Is 7?")], output_format=Verdict
    )
    print("parse:", repr(answer.parsed_output))


def errors() -> None:
    def ask(**fields: object) -> object:
        asked = {"model": MODEL, "max_tokens": 100, "messages": [user("Hi")]} | fields
        return client.messages.create(**asked)

    image = {"type": "image", "source": {"type": "url", "url": "http://x/a.png"}}
    for what, call in {
        "model": lambda: ask(model="claude"),
        "image": lambda: ask(messages=[{"role": "user", "content": [image]}]),
        "tokens": lambda: ask(max_tokens=-1),
        "a model's name": lambda: client.models.retrieve("claude"),
        "batches": lambda: client.messages.batches.list(),
        "full": ask,
    }.items():
        try:
            call()
        except anthropic.APIStatusError as error:
            known = error.request_id is not None
            print(f"{what}: {type(error).__name__}", error.type, known)


models()
plain()
events()
stream_helper()
sent_back()
tool_runner()
parse()
errors()
