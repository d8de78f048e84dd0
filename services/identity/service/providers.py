"""External providers, as operators configure them."""

from services.identity.domain import providers
from services.identity.providers.check import ProviderCheck
from services.identity.repository.providers import ProviderRepository
from shared.bus.messages import Done
from shared.clock import Clock
from shared.contracts import providers as contract
from shared.contracts.providers import Provider, ProviderChecked, ProviderList
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry


class ProviderService:
    """Adds, removes, lists and checks providers; every replica goes by the database at each sign-in."""

    def __init__(
        self, repository: ProviderRepository, check: ProviderCheck, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._providers = repository
        self._check = check
        self._clock = clock
        self._telemetry = telemetry

    async def add_provider(self, call: contract.AddProvider) -> Provider:
        """Add a provider or overwrite it. The same once more is no conflict: a caller may try again.

        Where another one takes the name its links are forgotten: its subjects are other people.
        """
        providers.check(call.provider)
        now = self._clock.now()
        if call.replace:
            former = await self._providers.get(call.provider.name)
            stays = former is None or providers.same_people(former, call.provider)
            await self._providers.replace(call.provider, now, keep_links=stays)
        elif not await self._providers.add(call.provider, now):
            if await self._providers.get(call.provider.name) == call.provider:
                return call.provider
            raise Error(ErrorCode.CONFLICT, "there is a provider of that name", detail={"field": "name"})
        self._telemetry.log.info("provider configured", provider=call.provider.name, kind=call.provider.kind)
        return call.provider

    async def remove_provider(self, call: contract.RemoveProvider) -> Done:
        """Remove a provider and its links."""
        if not await self._providers.remove(call.name):
            raise _no_such_provider()
        self._telemetry.log.info("provider removed", provider=call.name)
        return Done()

    async def list_providers(self, _call: contract.ListProviders) -> ProviderList:
        """All providers, by name."""
        return ProviderList(providers=await self._providers.all())

    async def check_provider(self, call: contract.CheckProvider) -> ProviderChecked:
        """Ask a provider what a sign-in would ask it."""
        provider = await self._providers.get(call.name)
        if provider is None:
            raise _no_such_provider()
        return await self._check.run(provider)


def _no_such_provider() -> Error:
    return Error(ErrorCode.NOT_FOUND, "there is no provider of that name")
