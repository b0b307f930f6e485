"""OpenAI's own client at `/v1/responses`: whole and in events, which its own types check, a loop
of tools, a parsed answer, what is kept, errors. Everything that it prints is compared.
"""

import sys

import openai
import pydantic
from openai.types.responses import Response, ResponseStreamEvent

URL, MODEL = sys.argv[1:]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)
EVENT = pydantic.TypeAdapter(ResponseStreamEvent)

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": False,
}
PATCH = {"type": "custom", "name": "patch", "description": "Changes a file."}


class Lunch(pydantic.BaseModel):
    title: str
    hour: int


def checked(event: object) -> object:
    """The event, if it is one to the letter: the client itself lets anything pass."""
    data = event.model_dump(mode="json", by_alias=True, warnings="error")
    EVENT.validate_python(data)
    return event


def steps(events: list) -> str:
    """The kinds of events, those of deltas once."""
    kinds = []
    for number, event in enumerate(events):
        assert event.sequence_number == number, event
        kind = event.type.removeprefix("response.")
        if not kinds or kinds[-1] != kind:
            kinds.append(kind)
    return " ".join(kinds)


def whole() -> None:
    answer = client.responses.create(model=MODEL, input="2+2?", metadata={"a": "b"})
    Response.model_validate(answer.model_dump(mode="json", warnings="error"))
    usage = answer.usage
    print("whole:", repr(answer.output_text), answer.status, answer.metadata)
    print(
        "items:",
        [item.type for item in answer.output],
        answer.output[0].content[0].text,
    )
    print(
        "usage:",
        usage.output_tokens,
        usage.output_tokens_details.reasoning_tokens,
        usage.input_tokens + usage.output_tokens == usage.total_tokens,
    )
    on = [
        {"role": "user", "content": "2+2?"},
        *answer.output,
        {"role": "user", "content": "3+3?"},
    ]
    answer = client.responses.create(model=MODEL, input=on)
    print("sent back:", repr(answer.output_text))


def streamed() -> None:
    stream = client.responses.create(model=MODEL, input="A bird?", stream=True)
    events = [checked(event) for event in stream]
    print("stream:", steps(events))
    text = "".join(
        event.delta for event in events if event.type == "response.output_text.delta"
    )
    print("its text:", repr(text), events[-1].response.output_text == text)
    with client.responses.stream(model=MODEL, input="A fish?") as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_response()
    print("helper:", repr(answer.output_text), "response.output_text.delta" in kinds)
    stream = client.responses.create(
        model=MODEL, input="Cut", max_output_tokens=4, stream=True
    )
    events = [checked(event) for event in stream]
    response = events[-1].response
    print("cut:", steps(events), response.status, response.incomplete_details.reason)


def tools() -> None:
    asked = [{"role": "user", "content": "Weather in Rome and Oslo?"}]
    include = ["reasoning.encrypted_content"]
    for _ in range(4):
        stream = client.responses.create(
            model=MODEL,
            input=asked,
            tools=[WEATHER, PATCH],
            include=include,
            store=False,
            stream=True,
        )
        events = [checked(event) for event in stream]
        print("tools:", steps(events))
        answer = events[-1].response
        for item in answer.output:
            sent = item.model_dump(mode="json", exclude_none=True)
            if item.type == "reasoning":
                # As clients do that keep what is sealed alone.
                del sent["content"]
            asked.append(sent)
            if item.type == "function_call":
                print("call:", item.name, item.arguments)
                asked.append(
                    {
                        "type": "function_call_output",
                        "call_id": item.call_id,
                        "output": "sun",
                    }
                )
            if item.type == "custom_tool_call":
                print("custom call:", item.name, repr(item.input))
                asked.append(
                    {
                        "type": "custom_tool_call_output",
                        "call_id": item.call_id,
                        "output": "done",
                    }
                )
    print("after calls:", repr(answer.output_text))


def parsed() -> None:
    answer = client.responses.parse(model=MODEL, input="Lunch?", text_format=Lunch)
    print("parse:", repr(answer.output_parsed))
    tool = openai.pydantic_function_tool(Lunch)["function"]
    tool = {"type": "function", **tool}
    answer = client.responses.parse(
        model=MODEL, input="Lunch?", tools=[tool], tool_choice="required"
    )
    print("parsed call:", repr(answer.output[0].parsed_arguments))


def kept() -> None:
    first = client.responses.create(model=MODEL, input="One?")
    second = client.responses.create(
        model=MODEL, input="Two?", previous_response_id=first.id
    )
    print(
        "kept:", client.responses.retrieve(second.id).output_text == second.output_text
    )
    items = list(client.responses.input_items.list(second.id, order="asc", limit=1))
    print("input items:", [(item.type, item.role) for item in items])
    client.responses.delete(first.id)
    refused("gone", lambda: client.responses.retrieve(first.id))
    refused(
        "goes on",
        lambda: client.responses.create(input="?", previous_response_id=second.id),
    )
    refused(
        "background",
        lambda: client.responses.create(model=MODEL, input="?", background=True),
    )


def refused(what: str, ask: object) -> None:
    try:
        ask()
    except openai.APIStatusError as error:
        print(f"{what}:", type(error).__name__, error.param, error.code)


def failed() -> None:
    events = [
        checked(event)
        for event in client.responses.create(model=MODEL, input="?", stream=True)
    ]
    error = events[-1].response.error
    print("failed:", steps(events), error.code)


whole()
streamed()
tools()
parsed()
kept()
failed()
