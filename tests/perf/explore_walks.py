"""Choices until a planted bug is found, by kind of walk: `python tests/perf/explore_walks.py [name] [claim] [seeds]`."""

import random
import statistics
import sys

from quorate.check.explore import walk, walk_by_coverage, walk_by_priority
from quorate.kernel import marks
from quorate.lab.exploring import ExploreOptions, filled, make_explorable


def main() -> None:
    name, claim, seeds = (sys.argv[1:] + ["raft-forgets-votes", "one leader per term", "10"][len(sys.argv) - 1 :])[:3]
    made = make_explorable(filled(ExploreOptions(name=name)))
    claims = [one for one in made.properties if one.name == claim]
    for words, take in (("plain", walk), ("PCT, depth 3", walk_by_priority), ("guided", walk_by_coverage)):
        counts = []
        missed = 0
        for seed in range(int(seeds)):
            more = {}
            if take is walk_by_coverage:
                marks.reset()
                more["marks"] = marks.counts
            rng = random.Random(f"{words}{seed}")
            found = take(made.system, claims, rng, walk_count=600, step_count_max=40, stop_at_first=True, **more)
            missed += claim not in found.found_after
            counts.append(found.found_after.get(claim, found.step_count))
        mean, median = statistics.mean(counts), statistics.median(counts)
        print(f"{words:14} mean {mean:,.0f}  median {median:,.0f}  missed {missed} of {seeds}", flush=True)


if __name__ == "__main__":
    main()
