"""Real SQLite files: whole, damaged, with a hash that is not that of its groups; a daemon that is not there."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.patients import patient, states
from tests.support.sqlite_store import with_a_name_that_is_no_text

from outrider.doctor import Patient, databases
from outrider.model import AgentInfo, GroupAssignment
from outrider.store.choice import agents_file, embedded
from outrider.world import real_ports


def with_agents(home: Path) -> Patient:
    looked = patient(home)

    async def fill() -> None:
        store = embedded(looked.settings, real_ports())
        await store.put([AgentInfo(id=number, name=f"a{number}", connection_status="active") for number in range(1, 4)])
        await store.add_groups(["default", "web"])
        await store.set_groups([GroupAssignment(number, ("web",)) for number in range(1, 4)])
        await store.close()

    asyncio.run(fill())
    return looked


def test_whole_files_are_good_and_absent_ones_are_nothing(tmp_path: Path) -> None:
    assert list(databases.look(patient(tmp_path))) == []
    assert states(list(databases.look(with_agents(tmp_path)))) == ["good"]


def test_a_hash_that_is_not_that_of_its_groups_is_told(tmp_path: Path) -> None:
    looked = with_agents(tmp_path)
    with closing(sqlite3.connect(agents_file(looked.settings))) as db, db:
        db.execute("UPDATE assignment SET hash = '00000000' WHERE id > 1")
    found = list(databases.look(looked))
    assert states(found) == ["bad"]
    assert "the hash of 2 agents, the first is 002, is not that of the groups 'web'" in found[0].what


def test_threat_40_rows_that_nobody_can_read_are_told_though_the_pages_are_whole(tmp_path: Path) -> None:
    looked = with_agents(tmp_path)
    with closing(sqlite3.connect(agents_file(looked.settings))) as db, db:
        db.execute("""UPDATE information SET info = '{"id":2,' || char(0) WHERE id = 2""")
    found = list(databases.look(looked))
    assert states(found) == ["bad"]
    assert "what is kept of agent 002 cannot be read: JSON is malformed" in found[0].what
    assert "put a backup in its place" in found[0].remedy


def test_threat_40_a_schema_that_is_no_text_is_told(tmp_path: Path) -> None:
    looked = with_agents(tmp_path)
    with_a_name_that_is_no_text(agents_file(looked.settings))
    assert states(list(databases.look(looked))) == ["bad"]


def test_threat_40_a_damaged_file_is_told_and_left_alone(tmp_path: Path) -> None:
    looked = with_agents(tmp_path)
    file = agents_file(looked.settings)
    damaged = bytearray(file.read_bytes())
    damaged[4096:8192] = bytes(4096)
    file.write_bytes(damaged)
    found = list(databases.look(looked))
    assert set(states(found)) == {"bad"}
    assert file.read_bytes() == damaged


def test_a_wazuh_db_that_does_not_answer_is_told(tmp_path: Path) -> None:
    found = list(databases.look(patient(tmp_path, agents__store="wazuh-db")))
    assert states(found) == ["bad"]
    assert "wazuh-db at " in found[0].what
