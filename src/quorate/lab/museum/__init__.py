"""The museum of bugs: each was made by somebody, each can be planted, each is caught."""

from quorate.lab.museum.bug import BUGS, CHECKERS, Bug, bug_named, planted

__all__ = ["BUGS", "CHECKERS", "Bug", "bug_named", "planted"]
