"""Keeps the CA: reads and stores it, lets it go through its life, and hands out what it signs.

Each step is stored before anything follows from it; when the store refuses (another operator was
first, or the object changed), what is stored counts, and the step is thought through again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import grpc

from repobridge import certificates, tls
from repobridge.certificates import CertificateError
from repobridge.telemetry import Logger
from repobridge.tls import Role
from repobridge.tls_files import TlsError
from repobridge_operator import authority as life
from repobridge_operator.authority import Authority, Holder, Stage
from repobridge_operator.cluster import Cluster, ClusterError, Conflict, NotFound, Object, Resource
from repobridge_operator.resources import identity
from repobridge_operator.resources.identity import CA_SECRET, GATEWAY_SECRET

_LOOK_SECONDS = 300.0
_RETRY_SECONDS = 5.0
_STIR_SECONDS = 0.5
_ATTEMPTS = 5

_log = Logger("repobridge.operator")


class Keeper:
    """The CA as it is stored, and the operator's own credentials, which it makes for itself."""

    def __init__(self, cluster: Cluster, *, namespace: str, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._now = now
        self._authority: Authority | None = None
        self._own: grpc.ChannelCredentials | None = None
        self._own_due: datetime | None = None
        self._stirred = asyncio.Event()

    @property
    def authority(self) -> Authority:
        """The CA; `step` has to have been called."""
        assert self._authority is not None
        return self._authority

    def credentials(self) -> grpc.ChannelCredentials:
        """The operator's own, the same object while they are good; raises TlsError.

        Their key never leaves memory.
        """
        if self._authority is None:
            raise TlsError("The CA is not read yet.")
        now = self._now()
        if self._own is None or self._own_due is None or now >= self._own_due:
            material = identity.issue_for_role(self._authority, Role.OPERATOR, now=now)
            self._own = tls.client_credentials(material)
            self._own_due = certificates.read(material.certificate).due
        return self._own

    def stir(self) -> None:
        """Says that a holder has changed."""
        if self._authority is not None and self._authority.stage is not Stage.STEADY:
            self._stirred.set()

    async def step(self, holders: tuple[Holder, ...] | None) -> float:
        """Brings the CA and the gateway's Secret forward; the seconds until the next time.

        `holders` are the bridges' Secrets; None while not all are known, when no step is made that
        depends on them. Raises ClusterError, and CertificateError where the stored CA is unusable.
        """
        for _ in range(_ATTEMPTS):
            stored = await self._stored()
            present = identity.read_ca_secret(stored) if stored is not None else None
            gateway = await self._gateway()
            if holders is None and present is not None and present.stage is not Stage.STEADY:
                self._take(present)
                await self._provide_gateway(gateway)
                return _RETRY_SECONDS
            known = (*(holders or ()), *identity.holders_of([gateway]))
            plan = life.plan(present, known, now=self._now())
            try:
                if plan.is_changed:
                    await self._store(plan.authority, stored)
            except Conflict:
                continue
            self._take(plan.authority)
            await self._provide_gateway(gateway)
            if plan.is_changed:
                _log.info("the CA goes on", stage=plan.authority.stage)
                return 0.0
            return self._seconds_until(plan.again_at)
        return _RETRY_SECONDS

    async def run(
        self, holders: Callable[[], tuple[Holder, ...] | None], *, changed: Callable[[], None]
    ) -> None:
        """Looks after the CA until it is cancelled; `changed` is called when bridges' Secrets have
        to follow it.
        """
        while True:
            before = self._authority
            self._stirred.clear()
            try:
                seconds = await self.step(holders())
            except (ClusterError, CertificateError) as error:
                _log.error("the CA can't be looked after", error=str(error))
                seconds = _RETRY_SECONDS
            if self._authority != before:
                changed()
            try:
                async with asyncio.timeout(max(seconds, _STIR_SECONDS)):
                    await self._stirred.wait()
                    await asyncio.sleep(_STIR_SECONDS)  # many holders change at a time
            except TimeoutError:
                pass

    def _take(self, authority: Authority) -> None:
        before = self._authority
        self._authority = authority
        if before is None or (before.current, before.bundle) != (
            authority.current,
            authority.bundle,
        ):
            self._own = None

    def _seconds_until(self, moment: datetime | None) -> float:
        if moment is None:
            return _LOOK_SECONDS
        return min(max((moment - self._now()).total_seconds(), 0.0), _LOOK_SECONDS)

    async def _stored(self) -> Object | None:
        try:
            return await self._cluster.get(Resource.SECRET, self._namespace, CA_SECRET)
        except NotFound:
            return None

    async def _store(self, authority: Authority, stored: Object | None) -> None:
        manifest = identity.make_ca_secret(authority, namespace=self._namespace)
        if stored is None:
            await self._cluster.create(Resource.SECRET, manifest)
            return
        version = stored["metadata"]["resourceVersion"]
        metadata = {**manifest["metadata"], "resourceVersion": version}
        await self._cluster.replace(Resource.SECRET, {**manifest, "metadata": metadata})

    async def _gateway(self) -> Object | None:
        try:
            return await self._cluster.metadata(Resource.SECRET, self._namespace, GATEWAY_SECRET)
        except NotFound:
            return None

    async def _provide_gateway(self, present: Object | None) -> None:
        now = self._now()
        if identity.stale(present, self.authority, now=now) is None:
            return
        material = identity.issue_for_role(self.authority, Role.GATEWAY, now=now)
        manifest = identity.make_role_secret(material, self.authority, namespace=self._namespace)
        await self._cluster.apply(Resource.SECRET, manifest)
