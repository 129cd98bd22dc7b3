"""What a resource does with the words of several leaders."""

import pytest

from quorate.kernel import NodeId, milliseconds
from quorate.kernel.errors import ConfigError
from quorate.protocols.election import ElectionConfig, FencedResource, Token


def test_a_resource_takes_nothing_from_an_older_leadership_once_a_newer_one_wrote() -> None:
    resource = FencedResource()
    assert resource.write(Token(1, 5), b"old")
    assert resource.write(Token(2, 3), b"new")
    assert not resource.write(Token(1, 5), b"old again")
    assert resource.write(Token(2, 3), b"new again")
    assert resource.refused_count == 1


def test_two_leaderships_never_have_equal_tokens() -> None:
    assert Token(2, 3) != Token(2, 5)
    assert Token(2, 3) < Token(2, 5) < Token(3, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"node": NodeId(9)},
        {"nodes": (2, 1)},
        {"nodes": (1, 1)},
        {"nodes": (0, 1)},
        {"leader_timeout": milliseconds(100)},
        {"answer_timeout": 0},
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(fields: dict) -> None:
    with pytest.raises(ConfigError):
        ElectionConfig(**{"node": NodeId(1), "nodes": (NodeId(1), NodeId(2)), **fields})
