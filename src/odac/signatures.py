"""The signatures of functions whose annotations may name what does not exist at run time."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["signature_of"]

if sys.version_info >= (3, 14):
    from annotationlib import Format

    def signature_of(function: Callable[..., Any]) -> inspect.Signature:
        """The signature of any callable; an annotation with an unknown name is left unevaluated.

        Python 3.14 evaluates annotations when they are first read (PEP 649), and by default raises a ``NameError`` for
        a name that is imported only for type checkers.

        Raises:
            TypeError: it is not callable.
            ValueError: it has no signature, as some builtins.
        """
        return inspect.signature(function, annotation_format=Format.FORWARDREF)

else:
    signature_of = inspect.signature
