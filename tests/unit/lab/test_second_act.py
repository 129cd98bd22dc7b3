"""The second act of a trial, on stores that are fakes: what it must accept, and what it must not."""

import asyncio
from collections.abc import Iterable

from rich.console import Console

from quorate.kernel import NodeId, Seeds
from quorate.kernel.errors import Unreachable
from quorate.lab.proxy import Links
from quorate.lab.second_act import ActResult, Scenes, SecondAct, history_lines
from quorate.lab.second_act_card import act_data, print_act

NODES = tuple(NodeId(node) for node in range(1, 6))
SCENES = Scenes(calm_s=0.1, partition_s=0.6, notice_s=0.1, convergence_s=0.5)


class Stage:
    """One register store that a cut-off minority may not use, and a set per side, joined when the links heal."""

    def __init__(self, *, refuses: bool = True, loses: bool = False, merges: bool = True, serves: bool = True) -> None:
        self.refuses = refuses
        self.loses = loses
        self.merges = merges
        self.serves = serves
        self.registers: dict[str, str] = {}
        self.carts: dict[NodeId, dict[str, dict[str, None]]] = {node: {} for node in NODES}
        self.links = Links(NODES, rng=Seeds(1).stream("links"))
        self.act = SecondAct(
            nodes=NODES, links=self.links, leader=NODES[0], client=lambda keyspace, node: Door(self, keyspace, node),
            scenes=SCENES,
        )  # fmt: skip

    @property
    def is_cut(self) -> bool:
        return self.links.direction(self.act.minority[0], self.act.majority[0]).conditions.cut

    def reached(self, node: NodeId) -> Iterable[NodeId]:
        if not self.is_cut:
            return NODES
        return self.act.minority if node in self.act.minority else self.act.majority

    def join(self) -> None:
        if self.is_cut or not self.merges:
            return
        for key in {key for cart in self.carts.values() for key in cart}:
            together = {item: None for cart in self.carts.values() for item in cart.get(key, {})}
            for node, cart in self.carts.items():
                cart[key] = dict(list(together.items())[self.loses and node != 1 :])


class Door:
    def __init__(self, stage: Stage, keyspace: str, node: NodeId) -> None:
        self.stage, self.keyspace, self.node = stage, keyspace, node

    async def command(self, *words: str | int) -> object:
        await asyncio.sleep(0)
        stage, is_alone = self.stage, self.stage.is_cut and self.node in self.stage.act.minority
        name, key, *rest = map(str, words)
        if self.keyspace == "ledger":
            if is_alone and stage.refuses:
                raise Unreachable("no majority")
            if name == "SET":
                stage.registers[key] = rest[0]
            return stage.registers.get(key)
        if is_alone and not stage.serves:
            raise Unreachable("no owner")
        stage.join()
        if name == "SADD":
            for node in stage.reached(self.node):
                stage.carts[node].setdefault(key, {})[rest[0]] = None
            return 1
        return list(stage.carts[self.node].get(key, {}))

    async def close(self) -> None:
        pass


def played(stage: Stage) -> ActResult:
    async def play() -> ActResult:
        return await stage.act.run(lambda _text: None)

    return asyncio.run(play())


def test_one_keyspace_refuses_and_the_other_serves() -> None:
    stage = Stage()
    result = played(stage)

    assert result.verdict == "valid", result.reason
    assert result.minority_item_count > 0
    shares = {(side.keyspace, side.side): (side.write_share, side.read_share) for side in result.sides}
    assert shares["ledger", "minority"] == (0, 0)
    assert shares["carts", "minority"] == (1, 1)
    assert len(history_lines(stage.act.recorders["carts"]).splitlines()) > 10


def test_a_minority_that_acknowledges_registers_is_caught() -> None:
    assert played(Stage(refuses=False)).reason == "ledger: a minority acknowledged writes"


def test_carts_that_lose_items_are_caught() -> None:
    result = played(Stage(loses=True))

    assert result.verdict == "invalid"
    assert "lost" in result.reason or "differed" in result.reason


def test_carts_that_never_become_equal_are_caught() -> None:
    result = played(Stage(merges=False))

    assert result.verdict == "invalid"
    assert result.convergence_ns is None


def test_a_minority_that_is_not_served_is_caught() -> None:
    assert played(Stage(serves=False)).reason == "carts: the minority side was not served"


def test_the_card_says_who_was_served() -> None:
    result = played(Stage())
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        print_act(console, result)
        card = console.export_text()

    assert "refused" in card
    assert "VALID" in card
    assert act_data(result)["verdict"] == "valid"
