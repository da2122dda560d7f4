"""Arguments of published functions that do nothing here."""


def check_unsupported(arguments: dict, known: dict, function: str) -> None:
    """Raise unless `arguments` are published names with values that ask for nothing.

    Args:
        known: the values that ask for nothing, by name.
        function: whose arguments they are, for the message.
    Raises:
        ValueError: a published argument that is not supported, with another value.
        TypeError: an unknown argument. The published code ignores misspelt ones.
    """
    for name, value in arguments.items():
        if name not in known:
            raise TypeError(f"{function} has no argument {name}")
        if not (value is known[name] or value == known[name]):
            raise ValueError(f"{function}: {name} is not supported, expected {known[name]}")
