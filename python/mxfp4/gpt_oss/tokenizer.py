"""The model's tokenizer, which encodes short prompts at once and which MAX's overlap
scheduler asks where reasoning begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from max.pipelines.lib import TextTokenizer
from max.pipelines.lib.tokenizer import replace_unpaired_surrogates

NONE = -1
"""What the scheduler takes for "no such token"."""

SHORT = 512
"""Characters that take about as long to encode as to hand to another thread: 0.3 ms."""


class GptOssTokenizer(TextTokenizer):
    """The built-in tokenizer.

    With a reasoning parser the scheduler wants one token that opens reasoning and one
    that closes it, to give reasoning a temperature of its own. The harmony format has
    none: `<|channel|>` opens any message, and its name, which comes after it, tells
    reasoning from answer. The parser (`harmony`) follows that; the scheduler need not.
    """

    async def encode(
        self, prompt: str | Sequence[int], add_special_tokens: bool = True
    ) -> npt.NDArray[np.integer[Any]]:
        """Encodes as the built-in one, but what is short without another thread.

        Many requests that come at once would wait for threads that take turns.
        """
        if isinstance(prompt, str) and len(prompt) <= SHORT:
            prompt = self.delegate.encode(
                replace_unpaired_surrogates(prompt),
                add_special_tokens=add_special_tokens,
            )
        return await super().encode(prompt, add_special_tokens)

    @property
    def reasoning_start_token_id(self) -> int:
        """No token."""
        return NONE

    @property
    def reasoning_end_token_id(self) -> int:
        """No token."""
        return NONE
