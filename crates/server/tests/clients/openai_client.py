"""OpenAI's own client: models, chat, its stream helper, a loop of tools, completions,
errors. Everything that it prints is compared.
"""

import asyncio
import sys

import openai

URL, MODEL = sys.argv[1:]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def usage_of(answer: object) -> str:
    usage = answer.usage
    reasoning = usage.completion_tokens_details.reasoning_tokens
    adds_up = usage.prompt_tokens + usage.completion_tokens == usage.total_tokens
    return f"{usage.completion_tokens} tokens, {reasoning} of reasoning, {adds_up}"


def models() -> None:
    listed = [model.id for model in client.models.list()]
    print("models:", listed == [MODEL], client.models.retrieve(MODEL).id == MODEL)


def chat() -> list[dict]:
    messages = [{"role": "user", "content": "2+2?"}]
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    choice = answer.choices[0]
    print("chat:", repr(choice.message.content), choice.finish_reason)
    print("reasoning:", repr(choice.message.reasoning), usage_of(answer))
    # As the client itself writes it down, nulls and all.
    messages.append(choice.message.model_dump())
    messages.append({"role": "user", "content": "And 3+3?"})
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    print("sent back:", repr(answer.choices[0].message.content))
    return messages


def stream() -> None:
    chunks = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Name a bird."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    roles, reasoning, content, last, reasons = [], "", "", None, []
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta
            roles += [delta.role] if delta.role else []
            reasoning += getattr(delta, "reasoning", None) or ""
            content += delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
        last = chunk
    print("stream:", roles, repr(reasoning), repr(content), reasons)
    print("its last chunk:", last.choices, usage_of(last))


def stream_helper() -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": "Name a fish."}]
    ) as events:
        kinds = []
        for event in events:
            if event.type != "chunk" and kinds[-1:] != [event.type]:
                kinds.append(event.type)
        final = events.get_final_completion()
    choice = final.choices[0]
    print("stream helper:", kinds, repr(choice.message.content), choice.finish_reason)


def tool_loop(messages: list[dict]) -> None:
    """Twice through: plain, then by the stream helper."""
    messages.append({"role": "user", "content": "Weather in Rome and Oslo?"})
    answer = client.chat.completions.create(
        model=MODEL, messages=messages, tools=[TOOL]
    )
    choice = answer.choices[0]
    (call,) = choice.message.tool_calls
    print("call:", call.function.name, call.function.arguments, choice.finish_reason)
    messages.append(choice.message.model_dump())
    messages.append({"role": "tool", "tool_call_id": call.id, "content": '{"sun": 1}'})

    with client.chat.completions.stream(
        model=MODEL, messages=messages, tools=[TOOL]
    ) as events:
        done = [e for e in events if e.type == "tool_calls.function.arguments.done"]
        message = events.get_final_completion().choices[0].message
    print("streamed call:", [(e.index, e.name, e.arguments) for e in done])
    messages.append(message.model_dump())
    (call,) = message.tool_calls
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})

    answer = client.chat.completions.create(
        model=MODEL, messages=messages, tools=[TOOL]
    )
    print("after calls:", repr(answer.choices[0].message.content))


def logprobs() -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Yes or no?"}],
        logprobs=True,
        top_logprobs=2,
    )
    tokens = answer.choices[0].logprobs.content
    print(
        "logprobs:",
        [token.token for token in tokens],
        {len(token.top_logprobs) for token in tokens},
        all(bytes(token.bytes).decode() == token.token for token in tokens),
    )


def completions() -> None:
    answer = client.completions.create(
        model=MODEL, prompt="Once upon", max_tokens=8, temperature=0
    )
    print("completion:", repr(answer.choices[0].text), answer.choices[0].finish_reason)
    chunks = client.completions.create(
        model=MODEL, prompt="Once upon", stop=["time"], stream=True
    )
    texts = [(c.text, c.finish_reason) for chunk in chunks for c in chunk.choices]
    reasons = [reason for _, reason in texts if reason]
    print("its stream:", repr("".join(text for text, _ in texts)), reasons)


async def at_once() -> None:
    """Several requests on the connections of one client."""
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="none") as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": f"{n}?"}]
                )
                for n in range(8)
            )
        )
    texts = {answer.choices[0].message.content for answer in answers}
    print("at once:", len(answers), texts, len({answer.id for answer in answers}))


def errors() -> None:
    ask = client.chat.completions.create
    hello = [{"role": "user", "content": "Hello"}]
    for what, call in {
        "model": lambda: ask(model="other", messages=hello),
        "role": lambda: ask(model=MODEL, messages=[{"role": "x", "content": ""}]),
        "temperature": lambda: ask(model=MODEL, messages=hello, temperature=9),
        "a model's name": lambda: client.models.retrieve("other"),
        "embeddings": lambda: client.embeddings.create(model=MODEL, input="x"),
    }.items():
        try:
            call()
        except openai.APIStatusError as error:
            print(f"{what}: {type(error).__name__}", error.param, error.code)


models()
messages = chat()
stream()
stream_helper()
tool_loop(messages)
logprobs()
completions()
asyncio.run(at_once())
errors()
