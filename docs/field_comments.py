"""A Griffe extension: the comment behind a field, which has its shape, becomes its text on the API page."""

import re
from typing import Any

from griffe import Attribute, Docstring, Extension


class FieldComments(Extension):
    """Give attributes without a docstring the comment that ends their line."""

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        comment = attr.source.rpartition("  # ")[2] if "  # " in attr.source else ""
        if comment and attr.docstring is None:
            shapes_as_code = re.sub(r"\[[A-Z][^\]]*\]", r"`\g<0>`", comment.strip())
            attr.docstring = Docstring(shapes_as_code, lineno=attr.lineno, parent=attr)
