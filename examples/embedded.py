"""An embedded store: no server, one directory, the same code as a cluster.

Prints:
    hello, version seen: True
    after reopening: world
    first page: ['user:1', 'user:2']
"""

import sys
import tempfile

import quorate.sync


def main(directory: str) -> None:
    """Use the synchronous twin, as a script would."""
    with quorate.sync.open(directory) as db:
        version = db.put("greeting", "hello")
        value = db.get_versioned("greeting")
        print(f"{(value.value or b'').decode()}, version seen: {value.version == version}")
        db.put("greeting", "world", if_version=version)
        db.put("user:2", "Lamport")
        db.put("user:1", "Liskov")

    with quorate.sync.open(directory) as db:
        print(f"after reopening: {(db.get('greeting') or b'').decode()}")
        print(f"first page: {[item.key.decode() for item in db.scan('user:')]}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(temporary)
