"""A program that divides, and dies of a zero: `python -m tests.unit.benchmarks.obeying`."""

import asyncio

from benchmarks.commanded import Json, configuration, obey


async def main() -> None:
    """Obeys until nobody tells it anything any more."""
    config = await configuration()

    async def divide(number: int) -> Json:
        return {"result": config["dividend"] / number}

    await obey({"divide": divide}, ready={"divides": config["dividend"]})


if __name__ == "__main__":
    asyncio.run(main())
