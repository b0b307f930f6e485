"""Answers of a given form: `parse` of OpenAI's client with pydantic's models, its
stream helper, and LangChain's `with_structured_output` in both of its ways.
"""

import enum
import sys
from typing import Literal

import openai
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

URL, MODEL = sys.argv[1:]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)
chat = ChatOpenAI(base_url=f"{URL}/v1", api_key="none", model=MODEL, max_retries=0)
ASK = [{"role": "user", "content": "What is on today?"}]


class Kind(enum.Enum):
    MEETING = "meeting"
    MEAL = "meal"


class Person(BaseModel):
    name: str
    reports_to: "Person | None"


class Event(BaseModel):
    """Something that takes place."""

    title: str = Field(description="In a few words.")
    kind: Kind
    hour: int = Field(ge=0, le=23)
    who: list[Person]
    note: str | None


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str
    unit: Literal["c", "f"]


def parse() -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=ASK, response_format=Event
    )
    choice = answer.choices[0]
    print("parse:", choice.message.parsed, choice.finish_reason)


def stream() -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=ASK, response_format=Event
    ) as events:
        final = events.get_final_completion()
    print("stream:", final.choices[0].message.parsed.title)


def strict_tool(choice: str) -> None:
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=ASK,
        tools=[openai.pydantic_function_tool(GetWeather)],
        tool_choice=choice,
    )
    (call,) = answer.choices[0].message.tool_calls
    reason = answer.choices[0].finish_reason
    print(f"tool, {choice}:", call.function.parsed_arguments, reason)


def langchain(method: str) -> None:
    structured = chat.with_structured_output(Event, method=method, strict=True)
    print(f"langchain, {method}:", structured.invoke("What is on today?").title)


def json_mode() -> None:
    structured = chat.with_structured_output(method="json_mode")
    print("langchain, json_mode:", structured.invoke("What is on, in JSON?"))


def refused() -> None:
    schema = {"type": "array", "uniqueItems": True}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    try:
        client.chat.completions.create(model=MODEL, messages=ASK, response_format=form)
    except openai.BadRequestError as error:
        print("refused:", error.param)


parse()
stream()
strict_tool("auto")
strict_tool("required")
langchain("json_schema")
langchain("function_calling")
json_mode()
refused()
