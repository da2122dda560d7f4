"""Edits of JSON values, as people and accidents make them."""

import copy

from hypothesis import strategies as st

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**12),
    st.just(1e12),
    st.floats(),
    st.text(),
    st.just([]),
    st.just({}),
    st.just({"a": [None]}),
)
DELETE = object()


def places(value, here=()):
    """Paths to all values inside a JSON value."""
    yield here
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*here, key))
    if isinstance(value, list):
        for i, part in enumerate(value):
            yield from places(part, (*here, i))


@st.composite
def edits(draw):
    """A function that changes one value of a JSON value, or deletes it."""
    number, value = draw(st.integers(0, 10**6)), draw(VALUES | st.just(DELETE))

    def edit(content):
        content, found = copy.deepcopy(content), list(places(content))
        place = found[number % len(found)]
        if not place:
            return None if value is DELETE else value
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        if value is DELETE:
            del parent[place[-1]]
        else:
            parent[place[-1]] = value
        return content

    return edit
