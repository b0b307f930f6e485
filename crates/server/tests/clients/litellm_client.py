"""LiteLLM, which speaks to the server as to OpenAI's and as to vLLM's: completion,
stream, and a loop of tools.
"""

import os
import sys

# Otherwise it fetches prices when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

URL, MODEL = sys.argv[1:]
litellm.telemetry = False

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}

for provider in ("openai", "hosted_vllm"):
    ask = {
        "model": f"{provider}/{MODEL}",
        "api_base": f"{URL}/v1",
        "api_key": "none",
        "max_retries": 0,
    }
    answer = litellm.completion(**ask, messages=[{"role": "user", "content": "2+2?"}])
    message = answer.choices[0].message
    print(f"{provider}:", repr(message.content), answer.choices[0].finish_reason)
    print("reasoning:", repr(message.reasoning_content), answer.usage.completion_tokens)

    chunks = list(
        litellm.completion(
            **ask,
            messages=[{"role": "user", "content": "Name a bird."}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    whole = litellm.stream_chunk_builder(chunks)
    message = whole.choices[0].message
    print("stream:", repr(message.content), repr(message.reasoning_content))
    print("its usage:", whole.usage.completion_tokens, whole.choices[0].finish_reason)

    messages = [{"role": "user", "content": "Weather in Rome?"}]
    answer = litellm.completion(**ask, messages=messages, tools=[TOOL])
    message = answer.choices[0].message
    (call,) = message.tool_calls
    print("call:", call.function.name, call.function.arguments)
    messages.append(message.model_dump())
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "sun"})
    answer = litellm.completion(**ask, messages=messages, tools=[TOOL])
    print("after the call:", repr(answer.choices[0].message.content))
