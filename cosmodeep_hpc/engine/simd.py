"""Operations on vectors of float32 for compiled loops, written instruction by instruction.

numba's compiler finds vectors in simple loops only. A function written with `Code` keeps a loop's
numbers in the processor's registers. Decorated with `operation`, it is called from compiled loops
like any other function: arrays arrive as pointers to their first number, other arguments as
integers and float32; it returns nothing.

Products and sums are fused into one instruction where the processor has it. No operation combines
lanes, so results are bit-identical for any vector width.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

WIDE = "+avx512f" in str(cpu_target.target_context.codegen().magic_tuple()[-1])
"""Whether the processor that numba compiles for has 32 registers of 16 numbers; else 16 of 8."""
LANES = 16 if WIDE else 8
"""Numbers of a vector."""

ALIGNED = 64  # bytes: of the longest vectors, and of a line of the cache

_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_SMALL, _WHOLE = (ir.VectorType(ir.IntType(bits), LANES) for bits in (8, 32))


def zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a float32 array of zeros, aligned so that vectors load fastest."""
    count = math.prod(shape)
    memory = np.zeros(count + ALIGNED // 4, dtype=np.float32)
    first = -memory.ctypes.data % ALIGNED // 4
    return memory[first : first + count].reshape(shape)


class Index:
    """An integer of the compiled program: a count, or a distance in an array."""

    def __init__(self, builder: ir.IRBuilder, value: Any) -> None:
        self.builder = builder
        self.value = value

    def _of(self, other: Index | int) -> Any:
        return other.value if isinstance(other, Index) else ir.Constant(_INT, other)

    def __add__(self, other: Index | int) -> Index:
        return Index(self.builder, self.builder.add(self.value, self._of(other)))

    def __mul__(self, other: Index | int) -> Index:
        return Index(self.builder, self.builder.mul(self.value, self._of(other)))

    __radd__, __rmul__ = __add__, __mul__


class Pointer:
    """A place in an array; `place + n` is n numbers further on."""

    def __init__(self, builder: ir.IRBuilder, pointer: Any) -> None:
        self.builder = builder
        self.pointer = pointer

    def __add__(self, numbers: Index | int) -> Pointer:
        if isinstance(numbers, int):
            numbers = Index(self.builder, ir.Constant(_INT, numbers))
        return Pointer(self.builder, self.builder.gep(self.pointer, [numbers.value]))


class Vector:
    """`LANES` values of the compiled program: float32, or booleans."""

    def __init__(self, builder: ir.IRBuilder, value: Any) -> None:
        self.builder = builder
        self.value = value

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fmul(self.value, other.value))

    def __gt__(self, other: Vector) -> Vector:
        """Return where it is larger; false if either is NaN."""
        return Vector(self.builder, self.builder.fcmp_ordered(">", self.value, other.value))

    def __truediv__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fdiv(self.value, other.value))

    def __or__(self, other: Vector) -> Vector:
        """Return where one of two conditions holds."""
        return Vector(self.builder, self.builder.or_(self.value, other.value))

    def is_nan(self) -> Vector:
        """Return where it is NaN."""
        return Vector(self.builder, self.builder.fcmp_unordered("uno", self.value, self.value))

    def equals(self, other: Vector) -> Vector:
        """Return where both are equal."""
        return Vector(self.builder, self.builder.fcmp_ordered("==", self.value, other.value))


class Code:
    """Writes the instructions of an operation."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def number(self, value: float) -> Vector:
        """Return one number in all lanes."""
        return Vector(self.builder, ir.Constant(_VECTOR, [value] * LANES))

    def count(self, number: Index) -> Vector:
        """Return an integer of the program in all lanes."""
        return self.repeated(self.builder.sitofp(number.value, _FLOAT))

    def repeated(self, scalar: Any) -> Vector:
        """Return a number of the program in all lanes."""
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return Vector(self.builder, self.builder.shuffle_vector(first, nothing, lanes))

    def index(self, place: Pointer) -> Index:
        """Return the integer at a place."""
        value = self.builder.load(place.pointer)
        return Index(self.builder, self.builder.sext(value, _INT))

    def one(self, place: Pointer) -> Vector:
        """Return the number at a place in all lanes."""
        return self.repeated(self.builder.load(place.pointer, align=4))

    def load(self, place: Pointer) -> Vector:
        """Return the numbers from a place on."""
        pointer = self.builder.bitcast(place.pointer, _VECTOR.as_pointer())
        return Vector(self.builder, self.builder.load(pointer, align=4))

    def store(self, vector: Vector, place: Pointer) -> None:
        """Write the numbers from a place on."""
        pointer = self.builder.bitcast(place.pointer, _VECTOR.as_pointer())
        self.builder.store(vector.value, pointer, align=4)

    def load_whole(self, place: Pointer) -> Vector:
        """Return the numbers from a place on in an array of int32; they are exact below 2^24."""
        pointer = self.builder.bitcast(place.pointer, _WHOLE.as_pointer())
        value = self.builder.load(pointer, align=4)
        return Vector(self.builder, self.builder.sitofp(value, _VECTOR))

    def store_whole(self, vector: Vector, place: Pointer) -> None:
        """Write numbers from a place on, into an array of int32."""
        pointer = self.builder.bitcast(place.pointer, _WHOLE.as_pointer())
        self.builder.store(self.builder.fptosi(vector.value, _WHOLE), pointer, align=4)

    def load_small(self, place: Pointer) -> Vector:
        """Return the numbers from a place on in an array of uint8."""
        pointer = self.builder.bitcast(place.pointer, _SMALL.as_pointer())
        value = self.builder.load(pointer, align=1)
        return Vector(self.builder, self.builder.uitofp(value, _VECTOR))

    def store_small(self, vector: Vector, place: Pointer) -> None:
        """Write numbers of 0 to 255 from a place on, into an array of uint8."""
        pointer = self.builder.bitcast(place.pointer, _SMALL.as_pointer())
        self.builder.store(self.builder.fptoui(vector.value, _SMALL), pointer, align=1)

    def fused(self, one: Vector, two: Vector, three: Vector) -> Vector:
        """Return one * two + three."""
        name = f"llvm.fmuladd.v{LANES}f32"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), name
        )
        values = [one.value, two.value, three.value]
        return Vector(self.builder, self.builder.call(function, values))

    def power_of_two(self, vector: Vector) -> Vector:
        """Return 2 to the power of integers from -126 to 127."""
        lanes = ir.Constant(_WHOLE, [127] * LANES), ir.Constant(_WHOLE, [23] * LANES)
        exponent = self.builder.add(self.builder.fptosi(vector.value, _WHOLE), lanes[0])
        bits = self.builder.shl(exponent, lanes[1])
        return Vector(self.builder, self.builder.bitcast(bits, _VECTOR))

    def where(self, condition: Vector, one: Vector, two: Vector) -> Vector:
        """Return `one` where a condition holds, else `two`."""
        value = self.builder.select(condition.value, one.value, two.value)
        return Vector(self.builder, value)

    def positive(self, vector: Vector) -> Vector:
        """Return the numbers that are larger than 0, else 0; NaN stays NaN."""
        zero = self.number(0)
        return self.where(zero > vector, zero, vector)

    def loop(
        self,
        count: Index | int,
        carried: Sequence[Vector],
        body: Callable[[Index, list[Vector]], Sequence[Vector]],
    ) -> list[Vector]:
        """Write a loop of `count` rounds, at least one.

        `body` writes a round: it takes the round's number and the vectors of the round before, and
        returns the vectors for the next one. They stay in registers if there are enough.
        """
        builder, before = self.builder, self.builder.block
        end = count.value if isinstance(count, Index) else ir.Constant(_INT, count)
        inside = builder.append_basic_block("round")
        builder.branch(inside)
        builder.position_at_end(inside)
        number = builder.phi(_INT)
        number.add_incoming(ir.Constant(_INT, 0), before)
        values = [builder.phi(_VECTOR) for _ in carried]
        given = body(Index(builder, number), [Vector(builder, value) for value in values])
        following = builder.add(number, ir.Constant(_INT, 1))
        number.add_incoming(following, builder.block)
        for value, first, later in zip(values, carried, given, strict=True):
            value.add_incoming(first.value, before)
            value.add_incoming(later.value, builder.block)
        after = builder.append_basic_block("after")
        builder.cbranch(builder.icmp_signed("<", following, end), inside, after)
        builder.position_at_end(after)
        return list(given)


def operation(write: Callable[..., None]) -> Callable[..., None]:
    """Return a function for compiled loops from `write(code, ...)`, which writes instructions."""

    def typed(typing: Any, *given: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            arguments: list[Any] = []
            for kind, value in zip(signature.args, values, strict=True):
                if isinstance(kind, types.Array):
                    data = make_array(kind)(context, builder, value).data
                    arguments.append(Pointer(builder, data))
                elif isinstance(kind, types.Integer):
                    arguments.append(Index(builder, value))
                else:
                    arguments.append(value)
            write(Code(builder), *arguments)
            return context.get_dummy_value()

        kinds = [types.intp if isinstance(k, types.Integer) else k for k in given]
        return types.void(*kinds), lower

    # numba counts arguments by this signature; its typing context takes the place of `code`
    typed.__signature__ = inspect.signature(write)  # type: ignore[attr-defined]
    compiled: Callable[..., None] = intrinsic(typed)
    return compiled
