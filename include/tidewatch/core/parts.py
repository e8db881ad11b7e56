"""How a stream is cut into the parts of an upload.

S3 takes at most 10,000 parts of 5 MiB to 5 GiB, and objects of up to 5 TiB. Parts lie in memory, so they are
small while that suffices: the first 5,000 are of one size, which is chosen so that an object of known size
needs no more. Behind them, for a stream that turns out longer than anybody expected, each part is larger than
the one before, so that 10,000 hold 5 TiB. The cut follows from the first size alone: who copies the object
cuts it in the same way, and gets the same checksum of parts.
"""

MIB = 1024 * 1024
SMALLEST = 5 * MIB
LARGEST = 5 * 1024 * MIB
MAX_PARTS = 10_000
MAX_OBJECT = 5 * 1024 * 1024 * MIB
STEADY = 5_000
"""So many parts have the first one's size."""


def first_size(expected_bytes: int | None, smallest: int) -> int:
    """Bytes of the first part of an object of about `expected_bytes`, in whole MiB, `smallest` at least.

    None: nobody knows. A twentieth more is allowed for: what is expected is the size before it is sealed.
    """
    if expected_bytes is None:
        return smallest
    needed = -(-min(expected_bytes, MAX_OBJECT) * 21 // (20 * STEADY))
    return max(smallest, -(-needed // MIB) * MIB)


def part_length(number: int, first: int) -> int:
    """Bytes of part `number` (from 1) when the first has `first`; an object's last part may be shorter."""
    beyond = max(0, number - STEADY)
    growing = MAX_PARTS - STEADY
    missing = max(0, MAX_OBJECT - MAX_PARTS * first)
    step = -(-missing // (growing * (growing + 1) // 2))
    return min(LARGEST, first + beyond * step)


def count_parts(size: int, first: int) -> int:
    """How many parts an object of `size` bytes has, at least one."""
    if size <= STEADY * first:
        return max(1, -(-size // first))
    left, number = size - STEADY * first, STEADY
    while left > 0:
        number += 1
        left -= part_length(number, first)
    return number
