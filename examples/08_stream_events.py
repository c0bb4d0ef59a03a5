"""Watch a search as it grows: the machine streams typed events, which are plain JSON.

    opened     run, problem, question
    generated  thoughts: ids of the new ones          (once a wave)
    updated    thoughts so far, usage so far           (once a wave, when it is durable)
    finished   answer, stopped, usage

Where the machine is a subgraph, stream the parent with `subgraphs=True`.
"""

import asyncio
import json
from typing import Any

from thoughtgraph import build_machine


async def main() -> None:
    machine: Any = build_machine(scheme="beam", params={"beams": 8}, budget={"tokens": 2000})
    async for event in machine.astream({"question": "2 3 7 9"}, stream_mode="custom"):
        match event["event"]:
            case "opened":
                print(f"run {event['run']}: {event['question']}")
            case "generated":
                print(f"  + {len(event['thoughts'])} thoughts")
            case "updated":
                print(f"    {event['thoughts']} in all, {event['usage']['completion_tokens']} tokens")
            case _:
                print(json.dumps(event, indent=2))


asyncio.run(main())
