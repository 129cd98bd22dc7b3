"""How much sooner workers explore a scope: `python tests/perf/explore_workers.py [workers]`. Ratios within one run.

Also the processor time of the searching process, beside that of a search alone: what no number of workers takes away,
and a figure that a busy machine disturbs less.
"""

import sys
import time

from quorate.check.explore import Search, explore
from quorate.lab.exploring import ExploreOptions, Workers, filled, make_explorable


def main() -> None:
    worker_count = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    options = filled(ExploreOptions(name="raft", crash_count=1, lose_count=1, is_disk_slow=True))
    made = make_explorable(options)
    began, used = time.perf_counter(), time.process_time()
    alone = explore(made.system, made.properties)
    alone_s, alone_cpu_s = time.perf_counter() - began, time.process_time() - used
    with Workers(options, worker_count) as pool:
        pool.expand([])()
        began, used = time.perf_counter(), time.process_time()
        shared = Search(made.system, made.properties).run(pool=pool)
        shared_s, shared_cpu_s = time.perf_counter() - began, time.process_time() - used
    assert alone == shared
    print(f"{alone.state_count} states: alone {alone_s:.1f} s, {worker_count} workers {shared_s:.1f} s", end=" ")
    print(f"({shared_s / alone_s:.2f})")
    print(f"processor time of this process: {alone_cpu_s:.1f} s, {shared_cpu_s:.1f} s", end=" ")
    print(f"({shared_cpu_s / alone_cpu_s:.2f})")


if __name__ == "__main__":
    main()
