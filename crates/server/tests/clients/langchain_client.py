"""LangChain's ChatOpenAI: invoke, stream, and a loop of tools."""

import sys

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

URL, MODEL = sys.argv[1:]
chat = ChatOpenAI(base_url=f"{URL}/v1", api_key="none", model=MODEL, max_retries=0)


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sun in {city}"


answer = chat.invoke("2+2?")
usage = answer.usage_metadata
print("invoke:", repr(answer.content), answer.response_metadata["finish_reason"])
print("usage:", usage["output_tokens"], usage["output_token_details"]["reasoning"])

whole = None
for chunk in chat.stream("Name a bird."):
    whole = chunk if whole is None else whole + chunk
print("stream:", repr(whole.content), whole.response_metadata["finish_reason"])

# Plain the first time, streamed the second: each message goes back as it came.
bound = chat.bind_tools([get_weather])
messages = [HumanMessage("Weather in Rome and Oslo?")]
for ask in ("invoke", "stream"):
    if ask == "invoke":
        message = bound.invoke(messages)
    else:
        message = None
        for chunk in bound.stream(messages):
            message = chunk if message is None else message + chunk
    messages.append(message)
    for call in message.tool_calls:
        print(f"{ask}, call:", call["name"], call["args"])
        result = get_weather.invoke(call["args"])
        messages.append(ToolMessage(result, tool_call_id=call["id"]))
print("after calls:", repr(bound.invoke(messages).content))
