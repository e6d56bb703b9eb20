"""Options of version 0.1 are accepted for one version, with a one-line notice."""

import warnings

import pytest

from bench.cli.renamed_options import one_line_notices, with_present_options
from bench.errors import RenamedWarning


def test_old_option_is_replaced_with_one_warning() -> None:
    with pytest.warns(RenamedWarning, match="--again is now --overwrite") as found:
        assert with_present_options(["run", "--again", "--again"]) == ["run", "--overwrite", "--overwrite"]
    assert len(found) == 1


def test_present_options_are_unchanged() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_present_options(["run", "--overwrite"]) == ["run", "--overwrite"]


def test_notice_is_one_line_and_other_warnings_are_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    with one_line_notices():
        warnings.warn("old is now new", RenamedWarning, stacklevel=1)
    assert capsys.readouterr().err == "bench: notice: old is now new\n"
