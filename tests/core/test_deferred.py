"""Deferred functions load their module when they are called, and all that are named are there."""

import ast
import pickle
import subprocess
import sys
from importlib import import_module

from core.deferred import Deferred
from tests.test_imports import python_files


def test_the_module_is_loaded_by_the_call():
    code = """
import sys
from core.deferred import Deferred
convert = Deferred("colorsys:rgb_to_hsv")
assert "colorsys" not in sys.modules
print(convert(1, g=0, b=0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(0.0, 1.0, 1)\n"


def test_workers_get_the_name():
    assert pickle.loads(pickle.dumps(Deferred("math:hypot")))(3, 4) == 5


def test_every_deferred_function_exists():
    places = [
        node.args[0].value
        for source in python_files().values()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Deferred"
    ]
    assert "annotator.hed:make" in places
    for place in places:
        module, name = place.split(":")
        assert callable(getattr(import_module(module), name)), place
