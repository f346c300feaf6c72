"""An example configuration, served as a newcomer would: `claude` from PATH, a chat beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.claude_home import ROOT
from tests.fakes.anthropic import FakeAnthropic
from tests.live_serve import LiveServe, make_environment, run, start
from tests.session.conftest import make_repository


async def test_the_smallest_example_serves_its_repo(
    tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    environment = make_environment(tmp_path, anthropic_api)
    make_repository(Path(environment["HOME"]) / "src/api")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/claude").symlink_to(claude_path)
    environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    config = str(ROOT / "examples/one-repo.yaml")
    process = await start(environment, "serve", "--config", config)
    serve = LiveServe(process, environment, tmp_path)
    try:
        await serve.logged("listening")
        doctor, answer = await asyncio.gather(
            run(environment, "doctor", "--config", config),
            run(environment, "chat", "api", "--message", "the heron"),
        )
    finally:
        code = await serve.stop()
    assert (answer.code, "the heron" in answer.out) == (0, True), answer.err
    assert (doctor.code, f"✓ configuration: {config}, 1 repos to serve" in doctor.out) == (0, True)
    assert code == 0
