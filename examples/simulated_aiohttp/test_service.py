"""Two customers pay into one account at nearly the same moment: `pytest examples/simulated_aiohttp`.

To see the bug found, shrunk and drawn, put `Bank` in the place of `CarefulBank`.
"""

import asyncio
import functools
import os

import service

from quorate.sim import World, simulate

BANK = service.Bank if os.environ.get("WITH_BUG") else service.CarefulBank


@simulate(seeds=60)
async def test_no_deposit_is_lost(world: World) -> None:
    """Whatever the network's timing, the balance is the sum."""
    world.host("desk").launch(service.serve_desk)
    world.host("bank").launch(lambda: service.serve(BANK("http://desk/")))
    await asyncio.sleep(0.1)
    customers = [
        world.host(name).launch(functools.partial(service.pay_in, "shared", amount, after=after))
        for name, amount, after in (("ann", 10, 0.0), ("bob", 5, 0.0017))
    ]
    for customer in customers:
        await world.result(customer)
    assert await service.balance_of("shared") == 15
