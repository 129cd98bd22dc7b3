"""Small summaries of large sets: filters, counters, trees."""

from quorate.sketches.blocked import BlockedBloomFilter
from quorate.sketches.bloom import BloomFilter, CountingBloomFilter, ScalableBloomFilter, bloom_size
from quorate.sketches.common import BadCapacity, BadErrorRate, Full, Incompatible, NotThere
from quorate.sketches.countmin import CountMin
from quorate.sketches.cuckoo import CuckooFilter
from quorate.sketches.filters import Filter, GrowingFilter
from quorate.sketches.fuse import BinaryFuseFilter
from quorate.sketches.hyperloglog import HyperLogLog
from quorate.sketches.iblt import Difference, InvertibleTable
from quorate.sketches.merkle import HashTree, LeafRange, MerkleTree, TreeWalk, XorTree
from quorate.sketches.quotient import CountingQuotientFilter, QuotientFilter

__all__ = [
    "BadCapacity",
    "BadErrorRate",
    "BinaryFuseFilter",
    "BlockedBloomFilter",
    "BloomFilter",
    "CountMin",
    "CountingBloomFilter",
    "CountingQuotientFilter",
    "CuckooFilter",
    "Difference",
    "Filter",
    "Full",
    "GrowingFilter",
    "HashTree",
    "HyperLogLog",
    "Incompatible",
    "InvertibleTable",
    "LeafRange",
    "MerkleTree",
    "NotThere",
    "QuotientFilter",
    "ScalableBloomFilter",
    "TreeWalk",
    "XorTree",
    "bloom_size",
]
