"""Configurations off the thermal path: stretched and squeezed bonds, noise, atoms pushed together. All in Å."""

import numpy as np

BOND_SCALE = (0.65, 1.7)
LONGEST_BOND_TO_HYDROGEN = 2.0  # where 1.7 times the bond is shorter
NOISE = (0.1, 0.25)
CONTACT = {0: (1.2, 2.2), 1: (0.9, 1.8), 2: (0.8, 1.6)}  # by the number of hydrogens in the pair
CONTACT_REACH = 2.0  # above the range: pairs further apart are left alone
SWEEPS = 40


def gaussian(positions, sigma, rng):
    return positions + rng.normal(0.0, sigma, positions.shape)


def short_range(numbers, positions, bonds, rng):
    """One of the three distortions, with equal chances."""
    choice = rng.integers(3)
    if choice == 0:
        for _ in range(rng.integers(1, 3)):
            positions = scaled_bond(numbers, positions, bonds, rng)
        return positions
    if choice == 1:
        return gaussian(positions, rng.uniform(*NOISE), rng)
    return contact(numbers, positions, bonds, rng)


def scaled_bond(numbers, positions, bonds, rng):
    """A random bond set to another length: the smaller side of it moves as a whole, in a ring one atom alone."""
    pairs = np.argwhere(np.triu(bonds))
    i, j = pairs[rng.integers(len(pairs))]
    side = _side(bonds, i, j)
    if side[i]:
        side = np.arange(len(numbers)) == j
    elif 2 * side.sum() > len(numbers):
        i, j, side = j, i, ~side
    axis = positions[j] - positions[i]
    length = np.linalg.norm(axis)
    longest = BOND_SCALE[1] * length
    if 1 in numbers[[i, j]]:
        longest = max(longest, LONGEST_BOND_TO_HYDROGEN)
    target = rng.uniform(BOND_SCALE[0] * length, longest)
    return positions + np.outer(side, axis * (target / length - 1.0))


def _side(bonds, i, j):
    """Atoms that hang on j once the bond i-j is cut; holds i where the bond is in a ring."""
    cut = bonds.copy()
    cut[i, j] = cut[j, i] = False
    side = np.arange(len(bonds)) == j
    while True:
        grown = side | cut[side].any(axis=0)
        if (grown == side).all():
            return side
        side = grown


def contact(numbers, positions, bonds, rng):
    """Two atoms without a bond brought near each other while all bonds keep their lengths as well as they can. The
    kind of pair (elements) is drawn first, so that rare ones get their share."""
    i, j = np.triu_indices(len(numbers), 1)
    hydrogens = (numbers[i] == 1).astype(int) + (numbers[j] == 1)
    reach = np.array([CONTACT[k][1] for k in range(3)])[hydrogens] + CONTACT_REACH
    near = ~bonds[i, j] & (np.linalg.norm(positions[i] - positions[j], axis=1) < reach)
    kinds = np.sort(np.stack([numbers[i], numbers[j]]), axis=0).T[near]
    distinct = np.unique(kinds, axis=0)
    kind = distinct[rng.integers(len(distinct))]
    chosen = np.flatnonzero(near)[rng.choice(np.flatnonzero((kinds == kind).all(axis=1)))]
    target = rng.uniform(*CONTACT[int(hydrogens[chosen])])
    constraints = [(a, b, np.linalg.norm(positions[a] - positions[b])) for a, b in np.argwhere(np.triu(bonds))]
    constraints.append((i[chosen], j[chosen], target))
    x = positions.copy()
    for _ in range(SWEEPS):
        for a, b, length in constraints:
            axis = x[b] - x[a]
            shift = 0.5 * (1.0 - length / np.linalg.norm(axis)) * axis
            x[a] += shift
            x[b] -= shift
    return x
