"""How the members of a group share partitions."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

P = TypeVar("P", bound=Hashable)


def share_out(partitions: Sequence[P], members: Iterable[str], owners: Mapping[P, str]) -> dict[P, str]:
    """Who owns what from now on; ``owners`` is who did so far.

    Invariant: of two members one owns at most one partition more than the other.
    Invariant: a member loses a partition only when it has more than its share.

    >>> share_out([0, 1, 2], ["a", "b"], {0: "a", 1: "a", 2: "a"})
    {0: 'a', 1: 'a', 2: 'b'}
    """
    kept = {member: [p for p in partitions if owners.get(p) == member] for member in sorted(members)}
    if not kept:
        return {}
    least, more = divmod(len(partitions), len(kept))
    owning_most_first = sorted(kept, key=lambda member: -len(kept[member]))
    quotas = {member: least + (rank < more) for rank, member in enumerate(owning_most_first)}
    shares = {member: kept[member][:quota] for member, quota in quotas.items()}
    taken = set(itertools.chain.from_iterable(shares.values()))
    free = iter([p for p in partitions if p not in taken])
    for member, quota in quotas.items():
        shares[member] += itertools.islice(free, quota - len(shares[member]))
    return {p: member for member, share in shares.items() for p in share}
