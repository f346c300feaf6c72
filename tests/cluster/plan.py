"""What a supervisor is told by whoever starts it: all of it decided outside the namespaces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.cluster.packages import Programs
from tests.cluster.periods import Periods
from tests.cluster.places import Place


@dataclass(frozen=True)
class Plan:
    """One cluster to be started."""

    place: Place
    tools: Mapping[str, Path]
    """The built programs, by name."""
    programs: Programs
    """The machine's own."""
    probe: Path
    """The OCI archive of the probe image."""
    periods: Periods
    listener: int
    """A listening socket of the machine's loopback, inherited: the way to the API server."""
    port: int
    """Of that socket."""
    report: int
    """A pipe, inherited, for `Said`."""
    is_tied: bool
    """Whether the cluster ends with its standard input."""
    page: int | None = None
    """A listening socket of the machine's loopback, inherited: the way to the page of Discord's
    imitation. Where it is, that and the imitation of the model's API answer in the cluster.
    """
    page_port: int = 0
    """Of that socket."""

    @property
    def file(self) -> Path:
        """Where it is written down, as long as the cluster is there."""
        return plan_file(self.place)

    def dump(self) -> str:
        """The plan as JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Reads what `dump` wrote."""
        value: dict[str, Any] = json.loads(text)
        place, programs = value.pop("place"), value.pop("programs")
        tools, probe, periods = value.pop("tools"), value.pop("probe"), value.pop("periods")
        return cls(
            place=Place(Path(place["root"]), place["name"]),
            tools={name: Path(path) for name, path in tools.items()},
            programs=Programs(**{name: Path(path) for name, path in programs.items()}),
            probe=Path(probe),
            periods=Periods(**periods),
            **value,
        )


def plan_file(place: Place) -> Path:
    """Where a cluster's plan is."""
    return place.directory / "plan.json"


@dataclass(frozen=True)
class Said:
    """One line of a supervisor's report; the last one is final."""

    line: str
    is_final: bool = False
    has_failed: bool = False
    """Only a final line can say so; the cluster is then gone."""

    def dump(self) -> bytes:
        """The line as it goes through the pipe."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Said:
        """Reads what `dump` wrote."""
        return cls(**json.loads(line))
