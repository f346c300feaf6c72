"""A conversation that begins with what another one remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from repobridge.errors import Refusal, Status
from repobridge_runner import store
from repobridge_runner.agents.transcript import transcript_path
from repobridge_runner.journal import Transaction
from repobridge_runner.runner import Runner
from repobridge_runner.session import Session
from repobridge_runner.store import SessionRow


async def fork(runner: Runner, conversation_id: str, new_conversation_id: str) -> Session:
    """A new conversation that remembers what another one does; raises Refusal."""
    source = runner.find(conversation_id)
    if new_conversation_id in runner.sessions:
        raise Refusal(
            Status.ALREADY_EXISTS,
            "CONVERSATION_EXISTS",
            f"There is a conversation {new_conversation_id!r} already; name another.",
            {},
        )
    await runner.prepared()
    start_point = ""
    if source.row.working_dir:
        start_point = (await runner.workspace.status(Path(source.row.working_dir))).head
    worktree = await runner.workspace.worktree(new_conversation_id, start_point=start_point)
    row = replace(
        SessionRow(new_conversation_id, runner.session_id(new_conversation_id, 0)),
        model=source.row.model,
        permission_mode=source.row.permission_mode,
        base_commit=start_point,
    )
    history = runner.transcript(source.row)
    if history.exists():
        _copy_history(runner, history, new_conversation_id, worktree.path)

    def act(tx: Transaction) -> None:
        store.put_session(tx, row)
        if history.exists():
            store.put_fork(tx, row.session_id, of=source.row.session_id)

    await runner.journal.write(act)
    return runner.add(row)


def _copy_history(runner: Runner, history: Path, conversation_id: str, directory: Path) -> None:
    folder = transcript_path(runner.config_directory(conversation_id), directory, "x").parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / history.name).write_bytes(history.read_bytes())
