"""The judges: histories, models, checkers, explorer. Pure: texts and values in, findings out."""

from quorate.check.history import BadHistory, Event, History, Operation, format_event, freeze, parse_event, show, thaw

__all__ = ["BadHistory", "Event", "History", "Operation", "format_event", "freeze", "parse_event", "show", "thaw"]
