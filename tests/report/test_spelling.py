"""Messages on the page: both names of a setting, terms with their explanation once, and nothing of a hostile text as markup."""

import pytest

from zsdeconv.cli.wording import with_options
from zsdeconv.report.page.spelling import COMMANDS, Wording, spellings


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("give `na`", 'Give <code>na</code> <span class="option">(<code>--na</code>)</span>.'),
        ("give `training.steps`", 'Give <code>steps</code> <span class="option">(<code>--steps</code>)</span>.'),
        ("give `reconstructed=True`", 'Give <code>reconstructed=True</code> <span class="option">(<code>--reconstructed</code>)</span>.'),
        ("give `scale=2` or <more>", 'Give <code>scale=2</code> <span class="option">(<code>--scale 2</code>)</span> or &lt;more&gt;.'),
        ("check pixel_um: 1 +- 2", 'Check <code>pixel_um</code> <span class="option">(<code>--pixel-um</code>)</span>: 1 ± 2.'),
        ("lower `loss.mu`", "Lower <code>loss.mu</code>."),  # no option: only in a configuration
        ("my_cell.tif and my_cell", "My_cell.tif and my_cell."),
        ("`<b>`", "`&lt;b&gt;`."),
    ],
)
def test_settings_have_both_names(message: str, shown: str) -> None:
    assert str(Wording()(message)) == shown


def test_the_option_is_that_of_the_command_line() -> None:
    for name in ("pixel_um", "training.ensemble", "pairs"):
        assert spellings(name)[1] == with_options(f"`{name}`")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_their_name_in_python(command: str) -> None:
    shown = str(Wording()(f"measure it, `zsdeconv {command}`"))
    assert shown == f'Measure it, <code>{COMMANDS[command]}</code> <span class="option">(<code>zsdeconv {command}</code>)</span>.'


def test_python_names_of_commands_exist() -> None:
    import importlib

    import zsdeconv as zs

    for name in COMMANDS.values():
        module, _, function = name.rpartition(".")
        assert callable(getattr(zs if module == "zs" else importlib.import_module(module), function))


def test_a_term_is_explained_once_in_a_part_and_noted_for_the_page() -> None:
    used: set[str] = set()
    first, second = Wording(used), Wording(used)
    assert str(first("the PSF, this PSF")).count("<abbr") == 1 and str(first("a PSF")).count("<abbr") == 0
    assert str(second("a PSF and coma")).count("<abbr") == 2, "another part of the page explains it again"
    assert used == {"PSF", "coma"}


def test_where_nothing_can_be_focused_there_is_no_markup() -> None:
    assert Wording().plain("the PSF; give `na`") == "The PSF; give na."
