"""A document of which a program writes a part: what stands between two markers."""


def replace_block(document: str, text: str, begin: str, end: str) -> str:
    r"""The document with this text between its markers. Raises ValueError where it has none.

    >>> written("a <!-- b --> old <!-- e --> z", "new", "<!-- b -->", "<!-- e -->")
    'a <!-- b -->\nnew<!-- e --> z'
    """
    before, opened, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        message = f"no {begin} and {end}"
        raise ValueError(message)
    return f"{before}{begin}\n{text}{end}{after}"
