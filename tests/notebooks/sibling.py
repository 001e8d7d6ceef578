"""The module that imports_sibling.ipynb imports."""


def greeting(name: str) -> str:
    return f"hello, {name}"
