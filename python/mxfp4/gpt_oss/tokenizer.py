"""The model's tokenizer, which MAX's overlap scheduler asks where reasoning begins."""

from __future__ import annotations

from max.pipelines.lib import TextTokenizer

NONE = -1
"""What the scheduler takes for "no such token"."""


class GptOssTokenizer(TextTokenizer):
    """The built-in tokenizer.

    With a reasoning parser the scheduler wants one token that opens reasoning and one
    that closes it, to give reasoning a temperature of its own. The harmony format has
    none: `<|channel|>` opens any message, and its name, which comes after it, tells
    reasoning from answer. The parser (`harmony`) follows that; the scheduler need not.
    """

    @property
    def reasoning_start_token_id(self) -> int:
        """No token."""
        return NONE

    @property
    def reasoning_end_token_id(self) -> int:
        """No token."""
        return NONE
