"""Tests old packages of a distribution: the kernel runs, and notebooks see those that it need not replace."""

from __future__ import annotations

import pytest

from builder.kit import Kit
from localcloud.engines.vm import images

from .test_kit import kernel_index
from .vm_fixture import VmFixture


def replacing(kit: Kit, package: str, old: str, why: str) -> str:
    """The line that says so in the log."""
    new = kernel_index(kit)[package]["version"]
    return f"# kernel: {package} of the kit ({new}) comes before the image's {old}: {why}\n"


@pytest.mark.exhaustive  # test_kit.py has an image's packages that win, and packages that break the kernel
def test_ubuntus_packages_are_seen_and_those_that_the_kernel_cannot_run_with_are_the_kits(
    vm_fixture: VmFixture, kit: Kit
) -> None:
    shipped = {
        "requests": "2.31.0",
        "urllib3": "2.0.7",
        "Jinja2": "3.1.2",
        "jsonschema": "4.10.3",
        "attrs": "23.2.0",
        "packaging": "24.0",
        "Pygments": "2.17.2",
        "six": "1.16.0",
        "python-dateutil": "2.8.2",
    }
    modules = {"python-dateutil": "dateutil", "attrs": "attr"}
    asked = [(name, modules.get(name, name.lower())) for name in shipped]
    code = f"import importlib, importlib.metadata as m\nfor name, module in {asked}:\n"
    code += "    print(name, m.version(name), 'dist-packages' in importlib.import_module(module).__file__)"
    outcome = vm_fixture.run(
        code,
        "import yaml, typing_extensions, psutil\n"
        "print(yaml.__version__[:4], *(m.version(name) for name in ('typing-extensions', 'psutil')))\n"
        "print('/kit/kernel.zip/' in typing_extensions.__file__, '/kit/kernel/' in psutil.__file__, psutil.__version__)",
        "import os\nprint([name for name in os.environ if name.startswith('NB_KIT')])",
    )
    assert outcome.reason is None, outcome.log
    assert outcome.text(0) == "".join(f"{name} {version} True\n" for name, version in shipped.items())
    index = kernel_index(kit)
    typing_extensions, psutil = (index[name]["version"] for name in ("typing-extensions", "psutil"))
    assert outcome.text(1).splitlines()[:2] == [
        f"6.0. {typing_extensions} {psutil}",
        f"True True {psutil}",
    ]
    assert outcome.text(2) == "[]\n"
    assert replacing(kit, "typing-extensions", "4.10.0", "jupyter-client needs >=4.13.0") in outcome.log
    assert replacing(kit, "psutil", "5.9.8", "ipython needs >=7") in outcome.log
    assert outcome.log.count("# kernel: ") == 2
    assert "do not fit the kernel" not in outcome.log
    assert "typing-extensions==4.10.0" in outcome.evidence["packages"]["image"]


@pytest.mark.exhaustive  # tests/unit/test_kernel_packages.py shows which of an image's packages the kit replaces
def test_a_kernel_starts_beside_debian_12s_packages(vm_fixture: VmFixture, kit: Kit) -> None:
    outcome = vm_fixture.run(
        "import prompt_toolkit, pygments, packaging, six\n"
        "print(prompt_toolkit.__file__.rpartition('/kit/')[2].partition('/')[0], pygments.__version__, packaging.__version__)",
        prefix=images.prefix("debian-12"),
    )
    assert outcome.reason is None, outcome.log
    assert outcome.text(0) == "kernel.zip 2.14.0 23.0\n"
    # ipython's need is the first on CPython 3.11, jupyter-client's on others
    assert replacing(kit, "typing-extensions", "4.4.0", "").rstrip() in outcome.log
    assert replacing(kit, "prompt-toolkit", "3.0.36", "ipython needs <3.1.0,>=3.0.41") in outcome.log
    assert "do not fit the kernel" not in outcome.log
