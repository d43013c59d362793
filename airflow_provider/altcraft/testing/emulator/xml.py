"""The platform's XML: the root is ``xml``, an array is repeated sibling elements, every value is text."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape

_NOT_IN_NAME = re.compile(r"[^\w.-]|^(?=[\d.-])")
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(envelope: dict[str, Any]) -> bytes:
    """Return a response as XML; null and an empty array have no element."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_element("xml", envelope)}'.encode()


def _element(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return "".join(_element(name, item) for item in value)
    if value is None:
        return ""
    tag = _NOT_IN_NAME.sub("_", name)
    if isinstance(value, dict):
        return f"<{tag}>{''.join(_element(key, item) for key, item in value.items())}</{tag}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{tag}>{escape(_NOT_IN_XML.sub('', text))}</{tag}>"
