"""The tree of errors, which is the same on both sides of the wire."""

from __future__ import annotations

import errno
import re

import pytest

from void_bridge import errors
from void_bridge.errors import (
    DiskFull,
    OutputError,
    ServerError,
    VoidBridgeError,
    error_classes,
    error_from_code,
    map_write_errors,
)


def every_class():
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, VoidBridgeError)]


def test_every_class_has_a_code_of_its_own():
    assert set(error_classes().values()) == set(every_class())
    assert len({cls.code for cls in every_class()}) == len(every_class())
    assert all(re.fullmatch("[a-z_]+", cls.code) for cls in every_class())


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = dict(re.findall(r"[├└]── (\w+) +(\w+)", errors.__doc__))
    assert drawn == {cls.__name__: cls.code for cls in every_class() if cls is not VoidBridgeError}


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_an_error_comes_back_from_its_code(cls):
    back = error_from_code(cls.code, "got 3, expected 4")
    assert type(back) is cls
    assert back.message == str(back) == "got 3, expected 4"


def test_an_unknown_code_keeps_its_name():
    error = error_from_code("melted", "the GPU melted")
    assert type(error) is ServerError
    assert str(error) == "the GPU melted (melted)"


def test_a_message_is_one_line():
    assert str(VoidBridgeError("got\n  this,\texpected\r\nthat ")) == "got this, expected that"


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_exit_codes_are_those_of_the_command_line(cls):
    assert cls.exit_code in (1, 2, 3, 130)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_the_file(number):
    with pytest.raises(DiskFull, match=r"no space left for /out/f.exr"), map_write_errors("/out/f.exr"):
        raise OSError(number, "no")


def test_another_failure_to_write_is_named_with_the_file():
    with (
        pytest.raises(
            OutputError, match=r"cannot write /out/f.exr: Read-only file system; choose a writable place$"
        ) as caught,
        map_write_errors("/out/f.exr"),
    ):
        raise OSError(errno.EROFS, "Read-only file system")
    assert type(caught.value) is OutputError
    assert isinstance(caught.value.__cause__, OSError)


def test_other_errors_are_not_converted():
    with pytest.raises(ZeroDivisionError), map_write_errors("/out/f.exr"):
        raise ZeroDivisionError
