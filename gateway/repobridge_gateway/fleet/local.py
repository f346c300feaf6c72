"""The fleet of one machine: every bridge a runner process of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from repobridge.errors import Refusal, Status
from repobridge_gateway.fleet.bridge import LocalBridge
from repobridge_gateway.fleet.launch import Launcher
from repobridge_gateway.fleet.settings import BridgeSpec, FleetSettings
from repobridge_gateway.places import bridge_places


class LocalFleet:
    """The bridges of this machine, by name."""

    def __init__(self, specs: Iterable[BridgeSpec], settings: FleetSettings) -> None:
        launcher = Launcher(settings)
        self._bridges = {
            spec.name: LocalBridge(
                spec,
                places=bridge_places(
                    spec.name, state=settings.state_dir, sockets=settings.socket_dir
                ),
                launcher=launcher,
                settings=settings,
            )
            for spec in specs
        }

    @property
    def bridges(self) -> Mapping[str, LocalBridge]:
        """Every bridge, in the configuration's order."""
        return self._bridges

    def bridge(self, name: str) -> LocalBridge:
        """A bridge; a Refusal that lists the known ones where there is none of that name."""
        try:
            return self._bridges[name]
        except KeyError:
            known = ", ".join(self._bridges)
            raise Refusal(
                Status.NOT_FOUND,
                "UNKNOWN_BRIDGE",
                f'There is no bridge "{name}"; there are: {known}.',
                {"known": known},
            ) from None

    async def run(self) -> None:
        """Runs every bridge; returns once `close` has ended them all."""
        async with asyncio.TaskGroup() as group:
            for bridge in self._bridges.values():
                group.create_task(bridge.run(), name=f"bridge {bridge.spec.name}")

    def idle_after(self, nanoseconds: int) -> None:
        """Has every runner end after another time of idleness from now on."""
        for bridge in self._bridges.values():
            bridge.idle_after(nanoseconds)

    def close(self) -> None:
        """Asks every bridge to end its runner; what is queued stays in the runners' logs."""
        for bridge in self._bridges.values():
            bridge.close()

    def kill(self) -> None:
        """Ends every runner at once."""
        for bridge in self._bridges.values():
            bridge.kill()
