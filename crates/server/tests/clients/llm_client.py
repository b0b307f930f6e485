"""The command `llm`, with the model in its file of further OpenAI models: a prompt
streamed and not, a conversation that goes on, and a function that it runs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

URL, MODEL = sys.argv[1:]

with tempfile.TemporaryDirectory() as home:
    Path(home, "extra-openai-models.yaml").write_text(
        f"- model_id: local\n  model_name: {MODEL}\n  api_base: {URL}/v1\n"
        "  supports_tools: true\n"
    )
    environment = {**os.environ, "LLM_USER_PATH": home, "OPENAI_API_KEY": "none"}

    def llm(what: str, *words: str) -> None:
        ran = subprocess.run(
            [sys.executable, "-m", "llm", "-m", "local", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        print(f"{what}:", ran.returncode, repr(ran.stdout))
        sys.stderr.write(ran.stderr)

    llm("streamed", "2+2?")
    llm("goes on", "-c", "And 3+3?")
    llm("whole", "--no-stream", "Name a bird.")
    llm("options", "-o", "temperature", "0.5", "-o", "seed", "7", "Name a fish.")
    function = 'def get_weather(city: str) -> str:\n    return f"sun in {city}"\n'
    llm("a function", "--functions", function, "Weather in Rome?")
