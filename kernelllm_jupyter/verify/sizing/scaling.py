"""The same problem at other sizes: smaller, for an interpreter that is slow, and odd ones.

A *size* is an integer of the source (or several that only change together) which changes the
shapes of inputs or weights. Which integers are sizes, and which belong together, is found by
trying: the source is rewritten and run on meta tensors, which costs about three milliseconds.

Runs in the referee's process; knows nothing of candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from kernelllm_jupyter.verify.given import Given
from kernelllm_jupyter.verify.sizing.footprint import Footprint, measured
from kernelllm_jupyter.verify.sizing.sizes import Site, find_sites, rewritten

__all__ = ["AFFORDABLE", "REDUCED", "Limit", "Scaled", "Scaling", "Size"]

#: A size that changes weights only is taken for a parameter (a kernel's width, say) below this.
SMALLEST_FEATURES = 16
#: More sizes than this are not told apart one by one; the probing would outlast the check.
MOST_SITES = 24
#: The largest batch that is tried: a program for each row is common.
LARGE_BATCH = 257
#: Several sizes of at least so many are several blocks of what is common.
SEVERAL_BLOCKS = (65, 33, 1)
#: Odd sizes, none a multiple of another, for sizes that are at least as large.
ODD = (37, 29, 41, 23, 43, 31, 47, 19)
SMALL_ODD = (5, 7, 11, 9, 13, 3, 15, 17)
TINY = (3, 5, 7, 2, 3, 5, 7, 2)

Values = Mapping["Size", int]


@dataclass(frozen=True)
class Limit:
    """How large a problem may be: elements made or held, and multiply-adds of its products."""

    elements: int
    macs: int

    def holds(self, footprint: Footprint) -> bool:
        """Whether a problem is within the limit; what is unknown is not held against it."""
        return (
            footprint.elements <= self.elements
            and (footprint.made or 0) <= 4 * self.elements
            and (footprint.macs or 0) <= self.macs
        )


#: What the interpreter runs within about half a second: some 0.5 ms for 1,024 elements or for
#: 131,072 multiply-adds (FACTS: 0.6 ms a program of an elementwise kernel).
AFFORDABLE = Limit(elements=1 << 19, macs=1 << 26)
#: To what a larger problem is reduced.
REDUCED = Limit(elements=1 << 17, macs=1 << 24)


@dataclass(frozen=True)
class Size:
    """Sites that change together; ``any`` where every value will do, not multiples only."""

    sites: tuple[Site, ...]
    value: int
    any: bool
    #: Whether it is the first axis of an input, which most often is a batch.
    leading: bool
    changes_inputs: bool


@dataclass(frozen=True)
class Scaled:
    """A problem's source at certain sizes, and how large it is then."""

    source: str
    footprint: Footprint
    values: Mapping[Size, int]
    what: str = ""


class Scaling:
    """One problem and its sizes. ``given`` is None where its size cannot be found out."""

    def __init__(self, source: str, class_name: str, folder: Path, seed: int, values: Given):
        self.source, self.class_name, self.seed = source, class_name, seed
        self.values = values
        #: Inputs of which the source can make no others.
        self.given_inputs = values.only_inputs
        self.path = folder / "probe.py"
        self.given = self._measured(source)
        self._sizes: list[Size] | None = None

    def _measured(self, source: str) -> Footprint | None:
        return measured(
            source,
            self.class_name,
            self.path,
            self.seed,
            self.given_inputs,
            self.values.init,
            self.values.keywords,
        )

    def at(self, values: Values) -> Scaled | None:
        """The problem at other sizes; None where it is none, or does not run there."""
        assert self.given is not None
        sites = {site: value for size, value in values.items() for site in size.sites}
        source = rewritten(self.source, sites)
        footprint = self._measured(source)
        if footprint is None or (self.given.runs and not footprint.runs):
            return None
        return Scaled(source, footprint, dict(values))

    @property
    def sizes(self) -> list[Size]:
        """What can be varied; empty for live inputs and where nothing of the source is a size."""
        if self._sizes is None:
            none = self.given is None or self.given_inputs is not None
            self._sizes = [] if none else self._found()
        return self._sizes

    # --- which integers are sizes ---------------------------------------------------------------

    def _found(self) -> list[Size]:
        sites = find_sites(self.source)[:MOST_SITES]
        found: list[Size] = []
        taken: set[Site] = set()
        for site in sites:
            if site in taken:
                continue
            alike = tuple(other for other in sites if other.value == site.value)
            size = self._size(site, alike, taken)
            if size is not None:
                found.append(size)
                taken.update(size.sites)
        return found

    def _size(self, site: Site, alike: tuple[Site, ...], taken: set[Site]) -> Size | None:
        """The size that a site belongs to: alone, or with others of the same value."""
        free = tuple(other for other in alike if other not in taken)
        # Those without an effect of their own (the bound of random labels, say) go along.
        silent = tuple(o for o in free if o != site and self._effect((o,), o.value + 1) == (0, 0))
        # Another one may have to change with it: an axis of a weight, say, but not the width of a
        # kernel that happens to be the same number.
        pairs = [(site, other) for other in free if other != site]
        groups = list(dict.fromkeys([(site, *silent), (site,), *pairs, free, alike]))
        for any_value in (True, False):
            for group in groups:
                value = site.value + 1 if any_value else 2 * site.value
                effect = self._effect(group, value)
                if effect is None:
                    continue
                if effect == (0, 0):
                    return None
                on_inputs, _ = effect
                if not on_inputs and site.value < SMALLEST_FEATURES:
                    return None
                return Size(group, site.value, any_value, effect == (2, 0), on_inputs > 0)
        return None

    def _effect(self, group: tuple[Site, ...], value: int) -> tuple[int, int] | None:
        """What another value changes: inputs (2: first axes only), weights; None: it fails."""
        assert self.given is not None
        changed = self.at({Size(group, group[0].value, True, False, True): value})
        if changed is None:
            return None
        before, after = self.given.inputs, changed.footprint.inputs
        weights = int(changed.footprint.state != self.given.state)
        if before == after:
            return 0, weights
        leading = all(
            one[1:] == other[1:] and len(one) == len(other)
            for one, other in zip(before, after, strict=False)
        )
        return (2 if leading else 1), weights

    # --- smaller --------------------------------------------------------------------------------

    def reduced(self, limit: Limit, named: Set[int]) -> Iterator[Scaled]:
        """The problem within a limit, in several ways: code that is written for some of its sizes
        may run at one of them.

        First the sizes stay whose numbers are ``named`` (in the candidate's code), then all become
        alike, then batches become small. Sizes are halved, so that what divided them still does,
        as a rule: a Triton kernel that needs no mask at the problem's own size needs none then.
        """
        seen = {self.source}

        def unnamed_first(values: Values) -> Iterator[Size]:
            yield from (size for size in _largest(values) if size.value not in named)
            yield from _largest(values)

        for order in (unnamed_first, _largest, _leading_first):
            scaled = self._shrunk(limit, order)
            if scaled is not None and scaled.source not in seen:
                seen.add(scaled.source)
                yield scaled

    def stretched(self, base: Values) -> Iterator[tuple[Scaled, Scaled]]:
        """For each size that was reduced: the problem with that one as given and the others small
        enough for it, and beside it the same with that one as reduced as it was.

        What is wrong in the first only is wrong because that size is large: a grid that is a block
        short, say, of which a reduced problem has one.
        """
        for size in self.sizes:
            if base[size] >= size.value:
                continue

            def others(values: Values, size: Size = size) -> Iterator[Size]:
                yield from (other for other in _largest(values) if other != size)

            long = self._shrunk(AFFORDABLE, others, {**base, size: size.value})
            if long is None:
                continue
            short = self.at({**long.values, size: base[size]})
            if short is not None:
                yield replace(long, what="one size as given"), short

    def _shrunk(
        self,
        limit: Limit,
        order: Callable[[Values], Iterator[Size]],
        start: Values | None = None,
    ) -> Scaled | None:
        """Halve one size after the other until the limit holds; None where it never does."""
        values = dict(start) if start is not None else {size: size.value for size in self.sizes}
        found = self.at(values)
        stuck: set[Size] = set()
        while found is None or not limit.holds(found.footprint):
            for size in order(values):
                if size in stuck or values[size] < 4:
                    continue
                smaller = self.at({**values, size: values[size] // 2})
                if smaller is not None:
                    values[size] //= 2
                    found = smaller
                    break
                stuck.add(size)
            else:
                return None
        return found

    # --- other ones -----------------------------------------------------------------------------

    @property
    def most_others(self) -> int:
        """How many :meth:`others` gives at most."""
        return len(self.sizes) + (4 if any(size.any for size in self.sizes) else 1)

    def others(self, limit: Limit, base: Values | None = None) -> Iterator[Scaled]:
        """Odd sizes, sizes above the given ones, by one, each, and all, and sizes of one, within
        the limit.

        One more of each is what a grid or a count that stands in the code shows at.

        ``base`` holds what is not varied: the sizes to which the problem was reduced.
        """
        base = dict(base or {})
        free = [size for size in self.sizes if size.any]
        for numbers in (ODD, SMALL_ODD):
            odd = {size: _odd(size, numbers[n % len(numbers)]) for n, size in enumerate(free)}
            scaled = self._variant(odd, base, limit)
            if scaled is not None:
                yield replace(scaled, what="odd sizes")
                break
        more = {size: size.value + 1 for size in free}
        if (scaled := self._variant(more, base, AFFORDABLE)) is not None:
            yield replace(scaled, what="sizes of one more")
        tiny = {size: min(size.value, TINY[n % len(TINY)]) for n, size in enumerate(free)}
        for size in self.sizes:
            for value in _larger(size):
                scaled = self._variant({**tiny, size: value}, base, limit, needed=size)
                if scaled is not None:
                    yield replace(scaled, what="larger sizes")
                    break
        for least in SEVERAL_BLOCKS:
            large = {size: max(2 * size.value + size.any, least * size.any) for size in self.sizes}
            if (scaled := self._variant(large, base, limit)) is not None:
                yield replace(scaled, what="all sizes larger")
                break
        ones = {size: 1 for size in free if size.changes_inputs}
        if (scaled := self._variant(ones, base, limit)) is not None:
            yield replace(scaled, what="sizes of one")

    def one_at_a_time(self, limit: Limit, base: Values | None = None) -> Iterator[Scaled]:
        """One size odd and the others as they are: code may be tied to one of them only."""
        base = dict(base or {})
        free = [size for size in self.sizes if size.any]
        for size in free if len(free) > 1 else ():
            for odd in (ODD[0], SMALL_ODD[0]):
                scaled = self._variant({size: _odd(size, odd)}, base, limit)
                if scaled is not None:
                    yield replace(scaled, what="one odd size")
                    break

    def _variant(
        self, wanted: Values, base: Values, limit: Limit, needed: Size | None = None
    ) -> Scaled | None:
        """All of the wanted values at once; where that does not run, as many of them as do."""
        if not wanted:
            return None
        scaled = self.at({**base, **wanted})
        if scaled is None:
            kept: dict[Size, int] = {}
            for size in sorted(wanted, key=lambda size: size is not needed):
                trial = self.at({**base, **kept, size: wanted[size]})
                if trial is not None:
                    kept[size] = wanted[size]
                    scaled = trial
                elif size is needed:
                    return None
        return scaled if scaled is not None and limit.holds(scaled.footprint) else None


def _odd(size: Size, odd: int) -> int:
    """A smaller odd number where there is one, else the next larger."""
    return odd if size.value > odd else size.value + 1 + size.value % 2


def _larger(size: Size) -> Iterator[int]:
    """Above the given size, or at least above most blocks.

    Not for a large batch: it costs a program for each row, and no block is as large as it.
    """
    if not size.any:
        yield 2 * size.value
    elif size.leading and size.value > LARGE_BATCH:
        yield LARGE_BATCH
    else:
        yield from (2 * size.value + 1, 1025, 257, 65)


def _largest(values: Values) -> Iterator[Size]:
    """The largest first; the order in which they are halved."""
    yield from sorted(values, key=lambda size: -values[size])


def _leading_first(values: Values) -> Iterator[Size]:
    """First axes of inputs, down to 4, then the largest."""
    yield from (size for size in values if size.leading and values[size] >= 8)
    yield from _largest(values)
