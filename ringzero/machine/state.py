"""State that is declared once and saved from the declaration.

A class names the attributes that a guest can observe in `stored`; `state()` and `restore()` follow
from the declaration, through the whole class hierarchy. What is not named is wiring, made anew by
the board.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar


class Stateful:
    """Something with declared state: numbers, bytes, lists, and other `Stateful` things."""

    stored: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def stored_names(cls) -> list[str]:
        """The declared attributes, base classes first."""
        names: list[str] = []
        for base in reversed(cls.__mro__):
            names += [name for name in base.__dict__.get("stored", ()) if name not in names]
        return names

    def state(self) -> dict[str, Any]:
        """A copy of the state made of plain values."""
        return {name: _plain(getattr(self, name)) for name in self.stored_names()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state()` of an equal object returned."""
        for name in self.stored_names():
            setattr(self, name, _revived(getattr(self, name), state[name]))


def _plain(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.state()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, list | deque | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _revived(current: Any, saved: Any) -> Any:
    if isinstance(current, Stateful):
        current.restore(saved)
        return current
    if isinstance(current, list) and current and isinstance(current[0], Stateful):
        for item, item_state in zip(current, saved, strict=True):
            item.restore(item_state)
        return current
    if isinstance(current, bytearray | list | deque | tuple | set | dict):
        return type(current)(saved)
    return saved
