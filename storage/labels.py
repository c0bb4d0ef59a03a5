"""What training leaves behind: labels of thoughts, snapshots of data sets, trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from ..graph.errors import UserError
from ..graph.ids import address
from .database import Database
from .schema import DatasetSnapshotRow, LabelRow, ModelArtifactRow, ThoughtRow, table
from .statements import get_or_create, insert_all


@dataclass(frozen=True, slots=True)
class Label:
    """A training target for one thought."""

    thought: str
    kind: str
    """How it was obtained: `mc` (Monte Carlo rollouts), `human`, …"""
    source: str
    """By whom: the policy that rolled out, with its version; the annotator."""
    value: float
    """In [0, 1]; for `mc` the fraction of rollouts that succeeded."""
    rollouts: int | None = None
    successes: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise UserError(f"label {self.value!r} of thought {self.thought!r} is not in [0, 1]")


@dataclass(frozen=True, slots=True)
class DatasetSnapshot:
    """A data set as it was exported."""

    kind: str
    """What it trains: `sft`, `prm`, `dpo`, …"""
    query: Mapping[str, Any]
    """What it was made of, enough to make it again: JSON values."""
    sha256: str
    rows: int
    path: str

    @property
    def id(self) -> str:
        """Content address; where the file lies does not count."""
        return address("dataset", self.kind, dict(self.query), self.sha256)


@dataclass(frozen=True, slots=True)
class ModelArtifact:
    """A trained model."""

    name: str
    version: str
    kind: str
    """policy, prm, orm or value."""
    path: str
    base: str | None = None
    """The model it was initialised from."""
    dataset: str | None = None
    """Id of the snapshot it was trained on."""
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])


def add_labels(database: Database, labels: Sequence[Label]) -> None:
    """Append labels; equal ones are added again, as another opinion or another round of rollouts.

    Raises:
        StoreError: if a thought is not in the database; nothing is written.
    """
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "thought": label.thought,
            "kind": label.kind,
            "source": label.source,
            "value": label.value,
            "rollouts": label.rollouts,
            "successes": label.successes,
            "created_at": now,
        }
        for label in labels
    ]
    with database.writing() as connection:
        insert_all(connection, insert(table(LabelRow)).inline(), rows)


def read_labels(
    database: Database, run: str | None = None, kind: str | None = None, source: str | None = None
) -> list[Label]:
    """Return labels in the order they were added, of one run (a full id), kind or source, or all."""
    row = LabelRow
    wanted = select(row.thought, row.kind, row.source, row.value, row.rollouts, row.successes)
    if run is not None:
        wanted = wanted.join(ThoughtRow, ThoughtRow.id == row.thought).where(ThoughtRow.run == run)
    if kind is not None:
        wanted = wanted.where(row.kind == kind)
    if source is not None:
        wanted = wanted.where(row.source == source)
    with database.reading() as connection:
        return [Label(*label) for label in connection.execute(wanted.order_by(row.number))]


def register_dataset(database: Database, snapshot: DatasetSnapshot) -> str:
    """Record a data set and return its id; one that is recorded already stays as it is."""
    row = {
        "id": snapshot.id,
        "kind": snapshot.kind,
        "query": dict(snapshot.query),
        "sha256": snapshot.sha256,
        "rows": snapshot.rows,
        "path": snapshot.path,
        "created_at": datetime.now(UTC),
    }
    with database.writing() as connection:
        insert_all(connection, get_or_create(database.dialect, DatasetSnapshotRow, "id"), [row])
    return snapshot.id


def read_datasets(database: Database, kind: str | None = None) -> list[DatasetSnapshot]:
    """Return data sets, newest first."""
    row = DatasetSnapshotRow
    wanted = select(row.kind, row.query, row.sha256, row.rows, row.path)
    if kind is not None:
        wanted = wanted.where(row.kind == kind)
    with database.reading() as connection:
        rows = connection.execute(wanted.order_by(row.created_at.desc(), row.id))
        return [DatasetSnapshot(*snapshot) for snapshot in rows]


def register_model(database: Database, artifact: ModelArtifact) -> None:
    """Record a trained model; doing so twice is harmless.

    Raises:
        UserError: if this name and version is another model already.
        StoreError: if its data set is not in the database.
    """
    row = {
        "name": artifact.name,
        "version": artifact.version,
        "kind": artifact.kind,
        "base": artifact.base,
        "path": artifact.path,
        "dataset": artifact.dataset,
        "metrics": dict(artifact.metrics),
        "created_at": datetime.now(UTC),
    }
    with database.writing() as connection:
        insert_all(connection, get_or_create(database.dialect, ModelArtifactRow, "name", "version"), [row])
        same = (ModelArtifactRow.name == artifact.name) & (ModelArtifactRow.version == artifact.version)
        stored = ModelArtifact(*connection.execute(_models().where(same)).one())
        if stored != artifact:
            raise UserError(
                f"model {artifact.name!r} version {artifact.version!r} is registered with other contents; "
                "choose another version"
            )


def read_models(database: Database, name: str | None = None) -> list[ModelArtifact]:
    """Return trained models, newest first."""
    row = ModelArtifactRow
    wanted = _models().order_by(row.created_at.desc(), row.name, row.version)
    if name is not None:
        wanted = wanted.where(row.name == name)
    with database.reading() as connection:
        return [ModelArtifact(*artifact) for artifact in connection.execute(wanted)]


def _models() -> Any:
    row = ModelArtifactRow
    return select(row.name, row.version, row.kind, row.path, row.base, row.dataset, row.metrics)
