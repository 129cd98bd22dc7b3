"""An aiohttp service that knows nothing of Quorate: it keeps balances, and asks a fraud desk before each deposit.

`Bank` has the bug: it reads the balance, waits for the desk, and writes what it read plus the deposit. Whatever another
request wrote meanwhile is lost. `CarefulBank` holds a lock for the account around reading and writing.
"""

import asyncio
import collections

import aiohttp
from aiohttp import web


class Bank:
    """The service as it was shipped."""

    def __init__(self, desk_url: str) -> None:
        self.balances: dict[str, int] = {}
        self._desk_url = desk_url

    async def approve(self) -> None:
        """Ask the fraud desk."""
        async with aiohttp.ClientSession() as session, session.get(self._desk_url) as response:
            await response.text()

    async def deposit(self, account: str, amount: int) -> int:
        """Add to a balance; return the new one."""
        balance = self.balances.get(account, 0)
        await self.approve()
        self.balances[account] = balance + amount
        return self.balances[account]


class CarefulBank(Bank):
    """The service mended."""

    def __init__(self, desk_url: str) -> None:
        super().__init__(desk_url)
        self._locks: dict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)

    async def deposit(self, account: str, amount: int) -> int:
        """Add to a balance; return the new one."""
        async with self._locks[account]:
            return await super().deposit(account, amount)


async def serve(bank: Bank) -> None:
    """Answer POST /deposit/ACCOUNT/AMOUNT and GET /balance/ACCOUNT on port 80."""

    async def deposit(request: web.Request) -> web.Response:
        balance = await bank.deposit(request.match_info["account"], int(request.match_info["amount"]))
        return web.json_response({"balance": balance})

    async def balance(request: web.Request) -> web.Response:
        return web.json_response({"balance": bank.balances.get(request.match_info["account"], 0)})

    await _run([web.post("/deposit/{account}/{amount}", deposit), web.get("/balance/{account}", balance)])


async def serve_desk() -> None:
    """Approve everything, after a look."""

    async def look(_: web.Request) -> web.Response:
        await asyncio.sleep(0.001)
        return web.Response(text="fine")

    await _run([web.get("/", look)])


async def _run(routes: list[web.RouteDef]) -> None:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 80).start()
    await asyncio.Event().wait()


async def pay_in(account: str, amount: int, *, after: float) -> None:
    """Deposit once, as a customer does."""
    await asyncio.sleep(after)
    url = f"http://bank/deposit/{account}/{amount}"
    async with aiohttp.ClientSession() as session, session.post(url) as response:
        response.raise_for_status()


async def balance_of(account: str) -> int:
    """Ask for a balance, as a customer does."""
    async with aiohttp.ClientSession() as session, session.get(f"http://bank/balance/{account}") as response:
        return int((await response.json())["balance"])
