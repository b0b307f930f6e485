"""Sends one chat request to a served model and prints its answer.

python -m mxfp4.chat --model M [--base-url URL] [--prompt TEXT] [--max-tokens N]
"""

from __future__ import annotations

import argparse
import sys
import time


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mxfp4.chat",
        description="Send one chat request and print the answer and its speed.",
    )
    parser.add_argument("--model", required=True, help="the model as it was served")
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--prompt", default="What is a Hopper GPU good at?")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds")
    args = parser.parse_args(arguments)

    import openai

    client = openai.OpenAI(
        base_url=args.base_url, api_key="none", timeout=args.timeout, max_retries=0
    )
    start = time.perf_counter()
    try:
        response = client.chat.completions.create(
            model=args.model,
            messages=[{"role": "user", "content": args.prompt}],
            max_tokens=args.max_tokens,
        )
    except openai.OpenAIError as error:
        print(f"error: {args.base_url}: {error}", file=sys.stderr)
        return 1
    seconds = time.perf_counter() - start

    message = response.choices[0].message
    usage = response.usage
    tokens = usage.completion_tokens if usage else 0
    if not tokens:
        print(f"error: {args.base_url}: the answer has no tokens", file=sys.stderr)
        return 1
    # A reasoning parser, where one is set, puts what came first here.
    print(message.content or getattr(message, "reasoning_content", None) or "")
    print(f"{tokens} tokens in {seconds:.2f} s: {tokens / seconds:.1f} tokens/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
