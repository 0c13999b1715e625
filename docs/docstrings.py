"""Docstrings as the site shows them: roles as links, doctests and examples as code.

The docstrings are written to be read in a terminal. Markdown would take ``>>>`` for a quotation
and ``10**-7`` for the start of something bold, and knows no roles.
"""

import re
import textwrap
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`([^`]+)`")
_DOCTEST = re.compile(r"^( *)>>> .*(?:\n\1\S.*|\n\1 +\S.*)*", re.MULTILINE)
_LITERAL = re.compile(r"^( *)(Example)::\n\n((?:\1 +.*\n?|\n)+)", re.MULTILINE)
# A power, not the name of keyword arguments.
_STRONG = re.compile(r"\*\*(?!\w+:)")
_CODE = re.compile(r"(```.*?```|``.*?``|`[^`]*`)", re.DOTALL)


class Docstrings(griffe.Extension):
    """Rewrites every docstring of the package before its sections are read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value, obj)


def as_markdown(text: str, obj: griffe.Object) -> str:
    """The docstring ``text`` of ``obj`` as Markdown in Google's sections."""
    text = _DOCTEST.sub(_doctest, text)
    text = _LITERAL.sub(_literal, text)
    text = _ROLE.sub(lambda role: _link(role[1], obj), text)
    prose_and_code = _CODE.split(text)
    prose_and_code[::2] = [_STRONG.sub(r"\*\*", prose) for prose in prose_and_code[::2]]
    return "".join(prose_and_code)


def _doctest(found: re.Match[str]) -> str:
    return f"{found[1]}```pycon\n{found[0]}\n{found[1]}```"


def _literal(found: re.Match[str]) -> str:
    code = textwrap.indent(textwrap.dedent(found[3]).strip(), found[1])
    return f"{found[1]}```python\n{code}\n{found[1]}```\n"


def _link(name: str, obj: griffe.Object) -> str:
    """``name`` as code, and a link where the site shows what it names.

    A name of ours that does not exist stays a link, so that the build fails.
    """
    try:
        target = obj.modules_collection[obj.resolve(name)]
    except (griffe.NameResolutionError, KeyError):
        ours = name.startswith("edl_jax.") or "." not in name
        return f"[`{name}`][{name}]" if ours else f"`{name}`"
    return f"[`{name}`][{target.canonical_path}]" if target.has_docstring else f"`{name}`"
