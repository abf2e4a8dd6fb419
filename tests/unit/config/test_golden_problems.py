"""Each `bad/*.toml` is told with exactly the problems of the `.problems` beside it.

After a change that is meant, write the pages anew: `PINFOLD_WRITE_GOLDEN=1 pytest tests/unit/config`.
"""

import os
from pathlib import Path

import pytest

from pinfold.base.errors import ConfigError
from pinfold.config.read import parse

BAD = Path(__file__).parent / "bad"


@pytest.mark.parametrize("path", sorted(BAD.glob("*.toml")), ids=lambda path: path.stem)
def test_every_problem_is_told_as_written(path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(path.read_text(encoding="utf-8"), path.name, Path("/srv"))
    told = "".join(f"{problem.render()}\n" for problem in raised.value.problems)
    golden = path.with_suffix(".problems")
    if os.environ.get("PINFOLD_WRITE_GOLDEN"):
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8")


def test_each_page_of_problems_has_its_config() -> None:
    assert {path.stem for path in BAD.glob("*.problems")} == {path.stem for path in BAD.glob("*.toml")}
