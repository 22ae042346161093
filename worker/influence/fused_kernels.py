"""Kernels for GPUs, in Triton: influence of pairs, reduced where it is computed, so that no pair is ever written to memory.

A pair's influence is a sum of terms, one for each layer and checkpoint. Each term is the inner product of what entered the layer times that of
the errors. Both factors of all terms stand side by side in one row of a sample (`worker.influence.packed_gradients`).
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _bound(bounds, place: tl.constexpr):
    """A bound of a term. All are multiples of 16, without which each number would be loaded alone."""
    return tl.multiple_of(tl.load(bounds + place), 16)


@triton.jit
@no_type_check
def _products(
    left,
    right,
    width,
    first,
    last,
    rows,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEP: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Inner products of `rows` rows at `left` and COLUMNS columns at `right`, over their numbers from `first` to `last`, a multiple of STEP apart."""
    row, column, place = tl.arange(0, ROWS), tl.arange(0, COLUMNS), tl.arange(0, STEP)
    own, known = row[:, None] * width + place[None, :], column[:, None] * width + place[None, :]
    there = (row < rows)[:, None]
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(first, last, STEP):
        a = tl.load(left + start + own, mask=there, other=0.0)
        b = tl.load(right + start + known)
        total = tl.dot(a, tl.trans(b), total, input_precision=PRECISION)
    return total


@triton.jit
@no_type_check
def _influence(
    inputs,
    errors,
    known_inputs,
    known_errors,
    terms,
    term_count,
    input_width,
    error_width,
    rows,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEP: tl.constexpr,
    ERROR_STEP: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Influence of rows on columns: over all terms, products of inputs times products of errors."""
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for term in range(term_count):
        bounds = terms + term * 4
        of_inputs = _products(
            inputs,
            known_inputs,
            input_width,
            _bound(bounds, 0),
            _bound(bounds, 1),
            rows,
            ROWS,
            COLUMNS,
            STEP,
            PRECISION,
        )
        of_errors = _products(
            errors,
            known_errors,
            error_width,
            _bound(bounds, 2),
            _bound(bounds, 3),
            rows,
            ROWS,
            COLUMNS,
            ERROR_STEP,
            PRECISION,
        )
        total += of_inputs * of_errors
    return total


@triton.jit
@no_type_check
def class_sums_kernel(
    inputs,
    errors,
    known_inputs,
    known_errors,
    terms,
    row_keys,
    column_keys,
    first_tiles,
    positive,
    negative,
    positive_count,
    negative_count,
    highest,
    lowest,
    rows,
    input_width,
    error_width,
    term_count,
    classes,
    chunks,
    HAS_KEYS: tl.constexpr,
    HAS_EXTREMES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
    STEP: tl.constexpr,
    ERROR_STEP: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Sums and numbers of the positive and of the negative influence of ROWS rows on the columns of one class.

    Also the highest influence of every CHUNK columns, and the highest of the other sign, where HAS_EXTREMES. Pairs of equal keys count as 0.
    """
    of_class = tl.program_id(1)
    first_row = tl.program_id(0).to(tl.int64) * ROWS
    row = first_row + tl.arange(0, ROWS)
    there = row < rows
    plus, minus = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)
    plus_count, minus_count = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)
    if HAS_KEYS:
        own_keys = tl.load(row_keys + row, mask=there, other=-1)
    # The bounds have 64 bits, and so has `tile`. A large reference has more numbers than 32 bits can count.
    for tile in range(tl.load(first_tiles + of_class), tl.load(first_tiles + of_class + 1)):
        influence = _influence(
            inputs + first_row * input_width,
            errors + first_row * error_width,
            known_inputs + tile * COLUMNS * input_width,
            known_errors + tile * COLUMNS * error_width,
            terms,
            term_count,
            input_width,
            error_width,
            rows - first_row,
            ROWS,
            COLUMNS,
            STEP,
            ERROR_STEP,
            PRECISION,
        )
        if HAS_KEYS:
            keys = tl.load(column_keys + tile * COLUMNS + tl.arange(0, COLUMNS))
            influence = tl.where(own_keys[:, None] == keys[None, :], 0.0, influence)
        helps, hurts = tl.maximum(influence, 0.0), tl.maximum(-influence, 0.0)
        plus += tl.sum(helps, 1)
        minus += tl.sum(hurts, 1)
        plus_count += tl.sum((influence > 0).to(tl.float32), 1)
        minus_count += tl.sum((influence < 0).to(tl.float32), 1)
        if HAS_EXTREMES:
            in_tile: tl.constexpr = COLUMNS // CHUNK
            place = row[:, None] * chunks + (tile * in_tile + tl.arange(0, in_tile))[None, :]
            tl.store(highest + place, tl.max(tl.reshape(helps, (ROWS, in_tile, CHUNK)), 2), mask=there[:, None])
            tl.store(lowest + place, tl.max(tl.reshape(hurts, (ROWS, in_tile, CHUNK)), 2), mask=there[:, None])
    place = row * classes + of_class
    tl.store(positive + place, plus, mask=there)
    tl.store(negative + place, minus, mask=there)
    tl.store(positive_count + place, plus_count, mask=there)
    tl.store(negative_count + place, minus_count, mask=there)


@triton.jit
@no_type_check
def _row_products(left, right, first, last, COLUMNS: tl.constexpr, STEP: tl.constexpr):
    """Inner products of one row and COLUMNS columns, in full single precision."""
    total = tl.zeros((COLUMNS, STEP), tl.float32)
    for start in range(first, last, STEP):
        place = start + tl.arange(0, STEP)
        total += tl.load(left + place)[None, :] * tl.load(right[:, None] + place[None, :])
    return tl.sum(total, 1)


@triton.jit
@no_type_check
def chunk_influence_kernel(
    inputs,
    errors,
    known_inputs,
    known_errors,
    terms,
    row_keys,
    column_keys,
    wanted,
    found,
    input_width,
    error_width,
    term_count,
    wanted_count,
    HAS_KEYS: tl.constexpr,
    CHUNK: tl.constexpr,
    STEP: tl.constexpr,
):
    """Influence of each row on the columns of the chunks that are wanted of it."""
    row = tl.program_id(0).to(tl.int64)
    place = row * wanted_count + tl.program_id(1)
    column = tl.load(wanted + place).to(tl.int64) * CHUNK + tl.arange(0, CHUNK)
    total = tl.zeros((CHUNK,), tl.float32)
    for term in range(term_count):
        bounds = terms + term * 4
        of_inputs = _row_products(
            inputs + row * input_width,
            known_inputs + column * input_width,
            _bound(bounds, 0),
            _bound(bounds, 1),
            CHUNK,
            STEP,
        )
        of_errors = _row_products(
            errors + row * error_width,
            known_errors + column * error_width,
            _bound(bounds, 2),
            _bound(bounds, 3),
            CHUNK,
            STEP,
        )
        total += of_inputs * of_errors
    if HAS_KEYS:
        total = tl.where(tl.load(row_keys + row) == tl.load(column_keys + column), 0.0, total)
    tl.store(found + place * CHUNK + tl.arange(0, CHUNK), total)
