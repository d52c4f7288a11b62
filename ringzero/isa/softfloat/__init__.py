"""IEEE 754 arithmetic on integers, in typed Python: what floating-point instructions mean.

Each operation is written once, for any `Format`, and returns its result's bits and the exception
flags it raises. Nothing here knows harts or registers.
"""

from ringzero.isa.softfloat.arithmetic import add, div, mul, sub
from ringzero.isa.softfloat.comparison import (
    classify,
    copy_sign,
    equal,
    less_or_equal,
    less_than,
    maximum,
    minimum,
)
from ringzero.isa.softfloat.conversion import (
    convert_format,
    from_signed,
    from_unsigned,
    to_integer,
)
from ringzero.isa.softfloat.formats import (
    DOUBLE,
    DZ,
    HALF,
    NV,
    NX,
    OF,
    RDN,
    RMM,
    RNE,
    RTZ,
    RUP,
    SINGLE,
    UF,
    Format,
)
from ringzero.isa.softfloat.fused import mul_add
from ringzero.isa.softfloat.roots import sqrt

__all__ = [
    "DOUBLE",
    "DZ",
    "HALF",
    "NV",
    "NX",
    "OF",
    "RDN",
    "RMM",
    "RNE",
    "RTZ",
    "RUP",
    "SINGLE",
    "UF",
    "Format",
    "add",
    "classify",
    "convert_format",
    "copy_sign",
    "div",
    "equal",
    "from_signed",
    "from_unsigned",
    "less_or_equal",
    "less_than",
    "maximum",
    "minimum",
    "mul",
    "mul_add",
    "sqrt",
    "sub",
    "to_integer",
]
