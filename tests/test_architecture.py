"""The house rules that a reader relies on, checked: who imports whom, and what every node ships with."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("core", "bridge", "nodes")
HOST = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "comfyui_version", "folder_paths", "latent_preview",
        "node_helpers", "server"}
STANDARD = set(sys.stdlib_module_names)
MAY_IMPORT = {
    "core": {"core", "torch"} | STANDARD,
    "bridge": {"bridge", "core", "torch", "numpy", "PIL", "safetensors", "cv2"} | HOST | STANDARD,
    "nodes": {"nodes", "bridge", "core", "torch", "comfy_api"} | STANDARD,
}
# What each room of bridge may import of the others, beside core. A method's room knows no other method's, and what
# surrounds a run knows no method.
SHARED = {"errors", "convert", "untrusted", "tensor_files", "files", "pen", "families", "text", "run"}
METHODS = {"regions", "edit", "inversion", "subject", "sketch", "identity", "record", "demo"}
ROOMS = {
    "errors": set(), "untrusted": {"errors"}, "tensor_files": {"untrusted"}, "files": {"errors", "untrusted"},
    "convert": {"errors"}, "pen": {"untrusted"},
    "families": {"errors"}, "text": {"errors"}, "run": {"errors", "families", "text"},
    **{method: SHARED for method in METHODS},
    "check": SHARED | METHODS,  # it asks all of them what they do
}
LANGUAGES = ("en", "zh", "ja")
MAX_LINES = 300
# Of the file that holds the one kernel, which is imported where there is a GPU for it.
KERNELS = {"core/fused_attention.py": {"triton"}}
# Without the docstring; a schema is a list and a kernel one launch, and may be longer. tests/web/unit/files.test.js
# measures JavaScript.
MAX_FUNCTION_LINES = 30


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names a file imports; our own as "core.tokens", seen from the pack's root."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" if stem else alias.name for alias in node.names)


@pytest.mark.parametrize("folder", OURS)
def test_arrows_point_from_nodes_to_bridge_to_core_to_torch(folder: str) -> None:
    wrong = [f"{path.relative_to(ROOT)} imports {name}" for path in sources(folder) for name in imports(path)
             if name.split(".")[0] not in MAY_IMPORT[folder] | KERNELS.get(path.relative_to(ROOT).as_posix(), set())]
    assert not wrong, wrong


def room_of(name: str) -> str:
    """The room of bridge that a dotted name lies in."""
    return name.split(".")[1]


def test_rooms_of_bridge_import_what_lies_below_them() -> None:
    names = {path.relative_to(ROOT / "bridge").parts[0].removesuffix(".py") for path in sources("bridge")}
    assert names == {*ROOMS, "__init__"}, "a new room needs a place among the others"
    wrong = []
    for path in sources("bridge"):
        room = path.relative_to(ROOT / "bridge").parts[0].removesuffix(".py")
        for name in imports(path):
            if name.startswith("bridge.") and room_of(name) not in {room, *ROOMS.get(room, ())}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, wrong


def test_only_the_families_speak_of_a_networks_parts() -> None:
    """No method knows the host's slots, patches or blocks."""
    words = re.compile(r"attn[12]_|patches_replace|input_blocks|middle_block|output_blocks|UNetModel|comfy\.ldm")
    allowed = {"bridge/run/gradients.py"}
    wrong = [f"{path.relative_to(ROOT)}:{number}: {line.strip()}" for path in [*sources("bridge"), *sources("nodes")]
             if "families" not in path.parts and path.relative_to(ROOT).as_posix() not in allowed
             for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if words.search(line)]
    assert not wrong, wrong


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines without the docstring) of every function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _is_kernel(node):
            words = ast.get_docstring(node, clean=False)
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1 - (words.count("\n") + 1 if words else 0)


def _is_kernel(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(decorator).startswith("triton.jit") for decorator in node.decorator_list)


def test_functions_stay_short() -> None:
    long = [f"{path.relative_to(ROOT)} {name}: {count} lines" for folder in OURS for path in sources(folder)
            for name, count in functions(path) if name != "define_schema" and count > MAX_FUNCTION_LINES]
    assert not long, long


def test_nothing_in_the_pack_imports_the_lab() -> None:
    lab = {"lab", *(path.stem for path in (ROOT / "lab").glob("*.py")), "world", "storybook"} - STANDARD
    files = [ROOT / "__init__.py", *(path for folder in OURS for path in sources(folder))]
    wrong = [f"{path.relative_to(ROOT)} imports {name}" for path in files for name in imports(path)
             if name.split(".")[0] in lab]
    assert not wrong, wrong


def test_no_module_of_the_pack_imports_itself_by_way_of_another() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path
               for folder in OURS for path in sources(folder) if path.name != "__init__.py"}
    graph = {name: {found for target in imports(path) for found in (target, target.rpartition(".")[0])
                    if found in modules and found != name} for name, path in modules.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, naming the ring


def test_files_stay_short() -> None:
    files = [path for folder in (*OURS, "lab", "tests") for path in sources(folder) if "runs" not in path.parts]
    files += sorted((ROOT / "web").rglob("*.js"))
    long = [f"{path.relative_to(ROOT)}: {count} lines" for path in files
            if (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES]
    assert not long, long


def schemas() -> dict[str, Any]:
    from attention_director.nodes import NODES

    return {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}


def test_every_node_file_is_on_the_contents_page() -> None:
    from attention_director.nodes import NODES

    listed = {node.__module__.rpartition(".")[2] for node in NODES}
    with_nodes = {path.stem for path in sources("nodes") if "(io.ComfyNode)" in path.read_text(encoding="utf-8")}
    assert with_nodes == listed


def test_every_node_has_a_help_page() -> None:
    missing = [key for key in schemas() if not (ROOT / "web" / "docs" / f"{key}.md").is_file()]
    assert not missing, missing


def test_every_node_is_used_by_an_example_workflow() -> None:
    used = {node["type"] for path in (ROOT / "workflows").glob("*.json")
            for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]}
    assert not set(schemas()) - used, set(schemas()) - used


def test_every_input_and_every_node_says_what_it_is_for() -> None:
    silent = [f"{key}.{given.id}" for key, schema in schemas().items() for group in schema.inputs
              for given in group.get_all() if not given.tooltip]
    silent += [key for key, schema in schemas().items() if not schema.description]
    assert not silent, silent


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_is_translated(language: str) -> None:
    entries = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    missing = []
    for key, schema in schemas().items():
        entry = entries.get(key, {})
        missing += [f"{key}.{name}" for name in ("display_name", "description") if not entry.get(name)]
        inputs = {given.id: entry.get("inputs", {}).get(given.id, {}) for given in schema.inputs}
        missing += [f"{key}.{name}.{part}" for name, given in inputs.items() for part in ("name", "tooltip")
                    if not given.get(part)]
    unknown = set(entries) - set(schemas())
    assert not missing and not unknown, (missing, unknown)


def test_the_english_texts_are_those_of_the_nodes() -> None:
    """The host shows the locale's text in place of the schema's; both must say the same."""
    entries = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    wrong = []
    for key, schema in schemas().items():
        said = {(key, "description"): schema.description, (key, "display_name"): schema.display_name}
        said |= {(key, "inputs", given.id, "tooltip"): given.tooltip
                 for top in schema.inputs for given in top.get_all()}
        said |= {(key, "outputs", str(i), "tooltip"): given.tooltip for i, given in enumerate(schema.outputs)}
        for where, text in said.items():
            found: Any = entries
            for part in where:
                found = found.get(part, {})
            if text and found != text:
                wrong.append(f"{'.'.join(where)}: {found!r}, but the node says {text!r}")
    assert not wrong, wrong
