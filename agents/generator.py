"""Generators: who proposes the next steps, whole attempts, and what else thoughts can be.

`StepGenerator` continues raw text in the task's own step format: the shipped model, or any base model. `PromptedGenerator` asks a chat model with the prompt
files of this package, and passes on the criticism that earlier steps got. `ContinuingGenerator` has a chat model go on with its own answer step by step.

Both merge equal proposals where the request wants distinct ones, drop what the path already has, and drop truncated steps: half a step is
never a thought.
"""

from __future__ import annotations

from .continuing_generator import ContinuingGenerator
from .drafts import read_steps
from .prompted_generator import PromptedGenerator
from .sampling import sample_proposals
from .step_generator import StepGenerator

__all__ = ["ContinuingGenerator", "PromptedGenerator", "StepGenerator", "read_steps", "sample_proposals"]
