"""OpenAI's Agents SDK: an agent with tools, a handoff to another, streaming, a typed answer.
Everything that it prints is compared.
"""

import asyncio
import sys

import openai
import pydantic
from agents import (
    Agent,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)

URL, MODEL = sys.argv[1:]
set_tracing_disabled(True)
client = openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)
model = OpenAIResponsesModel(model=MODEL, openai_client=client)


class Lunch(pydantic.BaseModel):
    title: str
    hour: int


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sun in {city}"


async def main() -> None:
    agent = Agent(
        name="Guide", instructions="Be brief.", model=model, tools=[get_weather]
    )
    result = await Runner.run(agent, "Weather in Rome?")
    print("tools:", repr(result.final_output), [item.type for item in result.new_items])

    cook = Agent(name="Cook", instructions="You cook.", model=model)
    desk = Agent(name="Desk", instructions="Hand over.", model=model, handoffs=[cook])
    result = await Runner.run(desk, "Who cooks?")
    print("handoff:", repr(result.final_output), result.last_agent.name)

    run = Runner.run_streamed(agent, "Weather in Oslo?")
    kinds, text = [], ""
    async for event in run.stream_events():
        if event.type == "run_item_stream_event":
            kinds.append(event.name)
        elif (
            event.type == "raw_response_event"
            and event.data.type == "response.output_text.delta"
        ):
            text += event.data.delta
    print("stream:", repr(text), repr(run.final_output), kinds)

    typed = Agent(name="Planner", model=model, output_type=Lunch)
    result = await Runner.run(typed, "Lunch?")
    print("typed:", repr(result.final_output))


asyncio.run(main())
