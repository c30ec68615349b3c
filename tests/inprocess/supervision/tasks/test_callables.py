"""What is taken for async, what for plain, and what is refused: nothing ends normally without having run."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any

import pytest

from inprocess import Child, TaskSupervisor

ran: list[str] = []


async def coroutine_function(_x: int = 1) -> None:
    ran.append("ran")


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def marked(function: Callable[..., Any]) -> Callable[..., Any]:
    wrapper = wrapped(function)
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(wrapper)
    wrapper._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # as asgiref does
    return wrapper


class AsyncCall:
    async def __call__(self) -> None:
        ran.append("ran")

    async def method(self) -> None:
        ran.append("ran")


class Awaits:
    def __await__(self) -> Generator[Any, Any, None]:
        ran.append("ran")
        yield


async def async_generator() -> AsyncIterator[int]:
    ran.append("ran")
    yield 1


async def iter_async(numbers: list[int]) -> AsyncIterator[int]:
    for number in numbers:
        yield number


def generator() -> Iterator[int]:
    ran.append("ran")
    yield 1


def returns_generator() -> Iterator[int]:
    return generator()


def returns_awaitable() -> Awaitable[None]:
    return Awaits()


async def exit_of(function: Any, **options: Any) -> tuple[str, BaseException | None, str]:
    async with TaskSupervisor.start() as tasks:
        child = tasks.start_child(function, **options)
        assert isinstance(child, Child)
        where = child.runs_in
        ended = await child.wait()
        return ended.kind, ended.error, where


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ran.clear()


@pytest.mark.parametrize(
    "function",
    [
        coroutine_function,
        functools.partial(coroutine_function, 2),
        functools.partial(functools.partial(coroutine_function), _x=2),
        AsyncCall(),
        AsyncCall().method,
        marked(coroutine_function),
        functools.partial(marked(coroutine_function)),
    ],
)
def test_what_is_async_runs_on_the_loop(function: Any) -> None:
    assert asyncio.run(exit_of(function)) == ("normal", None, "loop")
    assert ran == ["ran"]


@pytest.mark.parametrize("isolation", [None, "loop", "thread"])
@pytest.mark.parametrize(
    "function",
    [generator, async_generator, functools.partial(generator), functools.partial(async_generator)],
)
def test_a_generator_function_is_a_crash_that_says_what_to_do(function: Any, isolation: Any) -> None:
    kind, error, _where = asyncio.run(exit_of(function, isolation=isolation))
    assert kind == "crash"
    assert "iterates over it" in str(error)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (wrapped(coroutine_function), "pass the async function"),
        (returns_generator, "ran nothing"),
        (returns_awaitable, "was not awaited"),
        (lambda: iter_async([1]), "ran nothing"),
    ],
)
def test_a_plain_function_that_returns_work_undone_is_a_crash_that_says_so(function: Any, told: str) -> None:
    kind, error, where = asyncio.run(exit_of(function))
    assert (kind, where) == ("crash", "thread")
    assert isinstance(error, TypeError)
    assert told in str(error)
    assert ran == []


@pytest.mark.parametrize("function", [wrapped(coroutine_function), returns_awaitable])
def test_on_the_loop_whatever_a_plain_function_returns_is_awaited(function: Any) -> None:
    assert asyncio.run(exit_of(function, isolation="loop"))[0] == "normal"
    assert ran == ["ran"]


def test_what_is_no_function_is_a_crash_that_says_what_to_pass() -> None:
    for wrong in (None, "module.function", 7):
        kind, error, _where = asyncio.run(exit_of(wrong))
        assert kind == "crash"
        assert "pass the function itself" in str(error)
    assert "pass the function itself" in str(asyncio.run(exit_of(coroutine_function()))[1])


def test_a_misspelt_option_names_the_nearest_and_a_keyword_argument_its_way() -> None:
    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            with pytest.raises(TypeError, match=r"no option 'restrat': did you mean 'restart'\?"):
                tasks.start_child(coroutine_function, restrat="transient")  # type: ignore[call-arg]  # refused
            with pytest.raises(TypeError, match=r"functools.partial\(function, to=...\)"):
                tasks.start_child(coroutine_function, to="x")  # type: ignore[call-arg]  # refused
            with pytest.raises(TypeError, match="no option 'isolated': did you mean 'isolation'"):
                tasks.async_(coroutine_function, isolated="thread")  # type: ignore[call-overload]  # refused
            assert tasks.count == 0

    asyncio.run(main())
