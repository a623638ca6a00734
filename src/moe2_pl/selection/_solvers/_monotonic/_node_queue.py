"""The nodes still to be split: best-first, and depth-first while the memory limit is reached.

Either way the largest bound in the queue bounds everything that has not been searched.
"""

import heapq
from itertools import count
from typing import Generic, TypeVar

__all__ = ["NodeQueue"]

Node = TypeVar("Node")


class NodeQueue(Generic[Node]):
    """A heap of at most ``memory_limit_mb``; what does not fit goes on a stack that is emptied first.

    The stack holds the siblings along one path, so it stays within the depth of the tree.

    Args:
        memory_limit_mb: what the heap may take.
        node_bytes: an estimate of one node's size.

    Example:
        >>> queue = NodeQueue[str](memory_limit_mb=1, node_bytes=2**19)
        >>> for bound, node in ((1.0, "a"), (3.0, "b"), (2.0, "c")):
        ...     queue.push(bound, node)
        >>> queue.largest_bound, [queue.pop()[1] for _ in range(len(queue))]
        (3.0, ['c', 'b', 'a'])
    """

    def __init__(self, memory_limit_mb: float, node_bytes: int) -> None:
        self.capacity = max(int(memory_limit_mb * 2**20 / node_bytes), 1)
        self._heap: list[tuple[float, int, Node]] = []
        self._stack: list[tuple[float, Node]] = []
        self._serial = count()

    def __len__(self) -> int:
        return len(self._heap) + len(self._stack)

    @property
    def largest_bound(self) -> float:
        """No node in the queue has a larger bound; −inf when it is empty."""
        deep = max((bound for bound, _ in self._stack), default=-float("inf"))
        return max(deep, -self._heap[0][0]) if self._heap else deep

    def push(self, bound: float, node: Node) -> None:
        """Add a node that holds nothing worth more than ``bound``."""
        if len(self._heap) < self.capacity:
            heapq.heappush(self._heap, (-bound, next(self._serial), node))
        else:
            self._stack.append((bound, node))

    def pop(self) -> tuple[float, Node]:
        """The bound and the node to split next."""
        if self._stack:
            return self._stack.pop()
        bound, _, node = heapq.heappop(self._heap)
        return -bound, node
