from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.local import lean_imports
from trainer.dotted_paths import find_class


def test_a_library_is_left_out_only_while_others_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "left_out").mkdir()
    (tmp_path / "left_out" / "__init__.py").write_text("value = 7")
    (tmp_path / "user_of_it.py").write_text(
        "import left_out.child\n"
        "from left_out.child import Base, decorator\n"
        "class Derived(Base, dict): pass\n"
        "@decorator('name')\n"
        "def function(value: left_out.child.Kind.Inner): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(lean_imports, "_NOT_CALLED", ("left_out",))
    with lean_imports.lean_imports():
        import user_of_it  # type: ignore[import-not-found]  # written above
    assert not [name for name in sys.modules if name.startswith("left_out")]
    with pytest.raises(ImportError, match="Derived belongs to a library"):
        user_of_it.Derived()
    import left_out  # type: ignore[import-not-found]  # written above

    assert left_out.value == 7
    (tmp_path / "own_tower.py").write_text("from left_out import value as Tower")
    assert find_class("model.query_tower", "own_tower.Tower", {}) == left_out.value
    with lean_imports.lean_imports():
        import left_out

        assert left_out.value == 7, "what was imported before stays"
