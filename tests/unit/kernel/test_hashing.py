"""The one hash of keys."""

import numpy as np
import pytest
import xxhash

from quorate.kernel import BadKey, hash_array, hash_key, hash_list, mix64, mix_array


def test_the_hash_is_xxh3_and_never_changes() -> None:
    assert hash_key(b"") == 0x2D06800538D394C2
    assert hash_key("key") == hash_key(b"key") == xxhash.xxh3_64_intdigest(b"key")
    assert hash_key(1) == xxhash.xxh3_64_intdigest(b"\1" + bytes(7))
    assert hash_key(-1) == hash_key(2**64 - 1)
    assert mix64(1) == 0x5692161D100B05E5


def test_arrays_hash_to_the_same_numbers() -> None:
    integers = [0, 1, -1, 2**63 - 1, -(2**63), *range(1000, 60_000, 777)]
    for kind in (np.int64, np.int32, np.uint8):
        fitting = [n for n in integers if np.iinfo(kind).min <= n <= np.iinfo(kind).max]
        assert hash_array(np.array(fitting, dtype=kind)).tolist() == hash_list(fitting)
    big = np.arange(40_000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert hash_array(big).tolist() == hash_list(big.tolist())
    assert hash_array(big[::2]).tolist() == hash_list(big[::2].tolist())
    texts = ["a", "bc", ""]
    assert hash_array(texts).tolist() == hash_array(np.array(texts)).tolist() == hash_list(texts)
    assert hash_array(np.array([b"a", b"bc"])).tolist() == hash_list([b"a", b"bc"])
    assert mix_array(big).tolist() == [mix64(n) for n in big.tolist()]
    assert len(hash_array([])) == 0


def test_scalars_and_buffers_are_keys_too() -> None:
    assert hash_key(np.int64(-7)) == hash_key(-7)
    assert hash_key(bytearray(b"x")) == hash_key(memoryview(b"x")) == hash_key(b"x")


def test_other_things_are_refused() -> None:
    for key in (1.5, None, True, 2**64, -(2**63) - 1, (1,), np.float64(1)):
        with pytest.raises(BadKey):
            hash_key(key)
    with pytest.raises(BadKey):
        hash_array(np.array([1.5]))
