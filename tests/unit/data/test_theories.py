import pytest

from mnemon.config import Problem
from mnemon.data.theories import imports, in_order, sessions


def theory(name: str, *imported: str) -> str:
    return f'theory {name}\n  imports {" ".join(imported)}\nbegin\nlemma x: "True" by simp\nend\n'


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (theory("A", "Main", "B"), ["Main", "B"]),
        ('theory A imports "HOL-Library.FSet" "../C/D"\n  B begin end', ["HOL-Library.FSet", "../C/D", "B"]),
        ("(* theory Z imports Y begin (* nested *) *)\nsection \\<open>A\\<close>\ntheory A imports B begin", ["B"]),
        ('theory "A-B" imports C\nkeywords "x" :: thy_decl\nbegin', ["C"]),
        ("theory A imports B (* why (* deep *) *) C\nabbrevs begin", ["B", "C"]),
        ("theory Pure\nbegin\nend", []),
        ("no header at all", []),
        ("theory A imports B (* never closed begin", []),
    ],
)
def test_imports_are_the_names_in_the_header(text: str, names: list[str]) -> None:
    assert imports(text) == names


def test_every_theory_follows_those_it_imports() -> None:
    session = {
        "S/Top.thy": theory("Top", "Left", "Right"),
        "S/Right.thy": theory("Right", "Base"),
        "S/Left.thy": theory("Left", "S.Base", '"sub/Deep"'),
        "S/sub/Deep.thy": theory("Deep", '"../Base"', "Sibling"),
        "S/sub/Sibling.thy": theory("Sibling", "Main", '"HOL-Library.Multiset"', '"../../Other/Thing"'),
        "S/Base.thy": theory("Base", "Complex_Main"),
    }
    order, missing = in_order(session, ["S"])
    assert missing == []
    assert order == [f"S/{name}.thy" for name in ("Base", "sub/Sibling", "sub/Deep", "Left", "Right", "Top")]
    assert in_order(dict(reversed(session.items())), ["S"]) == (order, [])


def test_a_theory_beside_the_importer_comes_before_one_of_that_name_elsewhere() -> None:
    session = {f"S/{name}": theory("X") for name in ("a/X.thy", "b/X.thy")}
    order, _ = in_order({**session, "S/a/Use.thy": theory("Use", "X"), "S/0.thy": theory("0", '"b/X"')}, [])
    assert order == ["S/b/X.thy", "S/0.thy", "S/a/X.thy", "S/a/Use.thy"]


def test_a_long_chain_of_imports_is_followed() -> None:
    chain = {f"S/T{k:04}.thy": theory(f"T{k:04}", f"T{k + 1:04}" if k < 1999 else "Main") for k in range(2000)}
    assert in_order(chain, ["S"]) == (sorted(chain, reverse=True), [])


def test_imports_in_a_circle_are_told() -> None:
    session = {f"S/{a}.thy": theory(a, b) for a, b in (("A", "B"), ("B", "C"), ("C", "B"))}
    with pytest.raises(Problem, match=r"imports go in a circle: S/B.thy -> S/C.thy -> S/B.thy"):
        in_order(session, ["S"])


def test_imports_that_only_this_session_could_have_are_missing_where_they_are_not_there() -> None:
    text = theory("A", "Lost", '"S.Gone"', '"T.Elsewhere"', "Main", '"../U/Path"')
    assert in_order({"S/A.thy": text}, ["S"]) == (["S/A.thy"], ["S/A.thy imports Lost", "S/A.thy imports S.Gone"])


def test_sessions_of_a_root_file() -> None:
    root = """
    chapter AFP
    session "HOL-Library" (main timing) in Library = HOL +
      description "A session = its theories"
      theories Multiset
    (* session Old = HOL *)
    session Plain = "HOL-Library" +
    session Base_1 (AFP) in "sub/base" = HOL + theories A
    """
    assert sessions(root) == [("HOL-Library", "Library"), ("Plain", "."), ("Base_1", "sub/base")]
