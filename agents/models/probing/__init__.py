"""What models can and cannot do for a search, found out by asking them: the checks of `thoughtgraph doctor`.

async for finding in probe(load_model("openai:NAME?base_url=http://localhost:8000/v1")):
    print(finding.status, finding.name, finding.detail)
"""

from .asking import Finding, Status
from .model import probe, reach
from .scorer import probe_scorer

__all__ = ["Finding", "Status", "probe", "probe_scorer", "reach"]
