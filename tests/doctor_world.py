"""A chat server for the checks of models: it counts from one to twenty, or writes random letters, and can misbehave in one way or several."""

from __future__ import annotations

import json
import random
import re
from itertools import count
from typing import Any

from http_server import Exchange

WORDS = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
COUNTED = tuple(piece for word in WORDS for piece in (word, "\n"))


class Talker:
    """Answers chats, as `behaviour` of an `HttpServer`.

    Args:
        faults: what it does wrong: `no_n`, `alike` (samples of one request), `no_seed`, `constant` (samples of all seeds), `no_logprobs`,
            `zero_logprobs`, `no_alternatives`, `other_alternatives`, `no_ids`, `no_usage`, `no_cache`, `no_min_p`, `no_template`, `strips`, `anew`
            (a turn is not continued), `new_turn` (nor is it, but the count is), `no_continuation` (refused), `no_stop`, `ends` (by a stop string, and does not tell), `thinks`, `babbles`.
    """

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        self._calls = count()
        self._seen: set[str] = set()

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.method == "GET":
            await exchange.reply(json.dumps({"data": [{"id": "m", "max_model_len": 4096}]}).encode())
            return
        body = exchange.json
        if refusal := self._refusal(body):
            error = {"error": {"message": refusal, "type": "BadRequestError"}}
            await exchange.reply(json.dumps(error).encode(), 400)
            return
        n = 1 if "no_n" in self.faults else body.get("n", 1)
        choices = [self._choice(body, i) for i in range(n)]
        reply: dict[str, Any] = {"model": body["model"], "choices": choices}
        if "no_usage" not in self.faults:
            reply["usage"] = self._usage(body, sum(len(choice["said"]) for choice in choices))
        for choice in choices:
            del choice["said"]
        await exchange.reply(json.dumps(reply).encode())

    def _refusal(self, body: dict[str, Any]) -> str | None:
        if "no_template" in self.faults:
            return "default chat template is no longer allowed, so you must provide a chat template"
        if "no_min_p" in self.faults and "min_p" in body:
            return "Unrecognized request argument supplied: min_p"
        if "no_continuation" in self.faults and "continue_final_message" in body:
            return "unexpected field continue_final_message"
        return None

    def _usage(self, body: dict[str, Any], generated: int) -> dict[str, Any]:
        turns = self._turns(body)
        prompt = sum(4 + len(re.findall(r"\w+|\W", turn)) for turn in turns)
        key = json.dumps(turns)
        known = prompt if key in self._seen else 0
        self._seen.add(key)
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": generated}
        if "no_cache" not in self.faults:
            usage["prompt_tokens_details"] = {"cached_tokens": known}
        return usage

    def _turns(self, body: dict[str, Any]) -> list[str]:
        turns = [turn["content"] for turn in body["messages"]]
        return [turn.strip() for turn in turns] if "strips" in self.faults else turns

    def _choice(self, body: dict[str, Any], i: int) -> dict[str, Any]:
        pieces, stopped = self._said(body, i)
        text = "".join(pieces).partition(stopped)[0] if stopped else "".join(pieces)
        limited = len(pieces) == body["max_tokens"] and not stopped
        choice: dict[str, Any] = {
            "index": i,
            "said": pieces,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "length" if limited else "stop",
            "stop_reason": None if "ends" in self.faults else stopped,
        }
        if "thinks" in self.faults:
            choice["message"] = {"role": "assistant", "content": None, "reasoning": text}
        if "no_logprobs" not in self.faults:
            choice["logprobs"] = {"content": self._report(pieces, body.get("top_logprobs", 0))}
        if body.get("return_token_ids") and "no_ids" not in self.faults:
            choice["token_ids"] = [hash(piece) % 1000 for piece in pieces]
        return choice

    def _report(self, pieces: list[str], most: int) -> list[dict[str, Any]]:
        own = 0.0 if "zero_logprobs" in self.faults else -0.25
        best = -0.01 if "other_alternatives" in self.faults else own
        others = [{"token": "a", "logprob": best}, {"token": "b", "logprob": -2.5}][:most]
        if "no_alternatives" in self.faults:
            others = []
        return [{"token": piece, "logprob": own, "top_logprobs": others} for piece in pieces]

    def _said(self, body: dict[str, Any], i: int) -> tuple[list[str], str | None]:
        """Return tokens, the one with the end of a stop string last, and that stop string."""
        said: list[str] = []
        for piece in self._whole(body, i)[: body["max_tokens"]]:
            said.append(piece)
            for stop in body.get("stop", ()) if "no_stop" not in self.faults else ():
                if stop in "".join(said):
                    return said, stop
        return said, None

    def _whole(self, body: dict[str, Any], i: int) -> list[str]:
        *_, last = turns = self._turns(body)
        if "letters" in turns[0]:
            return self._letters(body, i)
        if "babbles" in self.faults:
            return ["<|user|>", "</s>"] * 20
        if body["messages"][-1]["role"] == "assistant" and "anew" not in self.faults:
            rest = "".join(COUNTED)[len(last) :]
            if "new_turn" in self.faults:
                rest = "".join(COUNTED[2 * last.count("\n") :])
            return re.findall(r"\w+|\n", rest)
        return list(COUNTED)

    def _letters(self, body: dict[str, Any], i: int) -> list[str]:
        seed = next(self._calls) if "no_seed" in self.faults else body["seed"]
        place = 0 if "alike" in self.faults else i
        chosen = random.Random("" if "constant" in self.faults else f"{seed}/{place}")
        return [chosen.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(40)]
