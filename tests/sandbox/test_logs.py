"""The sandbox's logs tell the incidents' stories, the same ones each time."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from prompts.reading import read_yaml
from sandbox.logs.rows import ago
from sandbox.logs.workspace import Table, load_logs, make_rows
from sandbox.world import World, load

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
FOLDER = Path(__file__).parents[2] / "sandbox" / "logs"
SCHEMA = Path(__file__).parents[3] / "shared" / "kql" / "tables.json"

Rows = Mapping[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def world() -> World:
    return load(NOW, clock=lambda: NOW)


@pytest.fixture(scope="module")
def made(world: World) -> tuple[Mapping[str, Table], Rows]:
    return make_rows(NOW, world)


@pytest.fixture(scope="module")
def rows(made: tuple[Mapping[str, Table], Rows]) -> Rows:
    return made[1]


def before(text: str) -> str:
    return (NOW - ago(text)).strftime("%Y-%m-%dT%H:%M:%S")


def the(rows: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in rows if wanted.items() <= row.items()]


class TestRows:
    def test_the_same_now_and_seed_give_the_same_rows(self, world: World, rows: Rows) -> None:
        assert make_rows(NOW, world)[1] == rows

    def test_another_seed_gives_other_people_and_the_same_stories(
        self, world: World, rows: Rows
    ) -> None:
        other = make_rows(NOW, world, "another")[1]
        assert other["SigninLogs"] != rows["SigninLogs"]
        story = {"UserPrincipalName": "lena.fischer@contoso.com", "IPAddress": "203.0.113.45"}
        assert len(the(other["SigninLogs"], **story)) == len(the(rows["SigninLogs"], **story)) == 1

    def test_the_tables_hold_thousands_of_rows_of_the_last_three_days(self, rows: Rows) -> None:
        counts = {name: len(each) for name, each in rows.items()}
        assert sum(counts.values()) - counts["OfficeActivity"] > 8_000
        assert counts["SigninLogs"] > 1_000
        first, last = before("-3d1h"), before("-1m")
        for name, each in rows.items():
            times = [row["TimeGenerated"] for row in each]
            assert times == sorted(times), name
            assert name == "Usage" or first < times[0] <= times[-1] < last, name

    def test_only_columns_of_the_table_with_values_of_their_type(
        self, made: tuple[Mapping[str, Table], Rows]
    ) -> None:
        tables, rows = made
        python = {"string": str, "datetime": str, "bool": bool, "int": int, "long": int}
        for name, each in rows.items():
            kinds = tables[name].columns
            for row in each:
                assert row.keys() <= kinds.keys()
                for column, value in row.items():
                    wanted = python.get(kinds[column])
                    assert value is None or wanted is None or type(value) is wanted, (name, column)

    def test_about_two_hundred_people_and_their_devices(self, rows: Rows) -> None:
        assert len({row["AccountUPN"] for row in rows["IdentityInfo"]}) == 215
        assert len({row["DeviceName"] for row in rows["DeviceProcessEvents"]}) > 150

    def test_no_text_has_a_placeholder_left(self, rows: Rows) -> None:
        for name in ("SigninLogs", "DeviceProcessEvents", "OfficeActivity", "AuditLogs"):
            assert "{upn" not in json.dumps(rows[name]) and "{{" not in json.dumps(rows[name])

    def test_every_fragment_has_columns_of_some_table_that_uses_it(self) -> None:
        tables = read_yaml((FOLDER / "tables.yaml").read_text("utf-8"))
        for path in (FOLDER / "ordinary.yaml", *(FOLDER / "incidents").glob("*.yaml")):
            data = read_yaml(path.read_text("utf-8"))
            known = " ".join(tables[name]["columns"] for name in data)
            names = {entry.partition(":")[0] for entry in known.split()} | {"SourceSystem"}
            for batches in data.values():
                for fragment in (each for batch in batches for each in batch.get("one_of", [])):
                    assert fragment.keys() - {"weight"} <= names, path.name

    def test_a_misspelt_column_is_an_error(self, world: World) -> None:
        from sandbox.logs.people import company
        from sandbox.logs.rows import Maker

        people = read_yaml((FOLDER / "people.yaml").read_text("utf-8"))
        maker = Maker(company(people, "x"), NOW, "x")
        with pytest.raises(ValueError, match="story: SigninLogs has no column UserPrincipalNane"):
            list(
                maker.rows("SigninLogs", {}, {}, [{"at": "-1h", "UserPrincipalNane": ""}], "story")
            )

    @pytest.mark.parametrize("text", ["1h", "-1x", "yesterday"])
    def test_a_time_that_is_not_before_now_is_an_error(self, text: str) -> None:
        with pytest.raises(ValueError, match="not a time before now"):
            ago(text)


class TestStories:
    """Each number and time that an incident names can be found again."""

    def test_3164_the_service_read_18022_files(self, rows: Rows) -> None:
        files = the(rows["OfficeActivity"], UserId="svc-copy@contoso.com")
        assert len(files) == 18_022
        assert len({row["Site_Url"] for row in files}) == 31

    def test_3170_files_archives_and_upload(self, rows: Rows) -> None:
        marc = "marc.dubois@contoso.com"
        files = the(rows["OfficeActivity"], UserId=marc, Operation="FileDownloaded")
        northwind = [row for row in files if "northwind" in row["Site_Url"]]
        assert len(northwind) == 2_314
        upload = the(rows["CommonSecurityLog"], DestinationHostName="storage.example.net")
        assert sum(row["SentBytes"] for row in upload) == 6_657_199_308
        (tool,) = the(rows["DeviceProcessEvents"], FileName="teamsupdate.exe")
        assert tool["DeviceName"] == "ws-eng-19.contoso.com"
        assert len(the(rows["DeviceProcessEvents"], FileName="7z.exe")) == 3

    def test_3171_nothing_came_from_the_collector_after_it_failed(self, rows: Rows) -> None:
        assert rows["Syslog"][-1]["TimeGenerated"] <= before("-18h41m") + "Z"
        beats = the(rows["Heartbeat"], Computer="srv-log-01.contoso.com")
        assert beats[-1]["TimeGenerated"].startswith(before("-18h41m"))
        assert len(the(rows["SentinelHealth"], Status="Failure")) == 1

    def test_3172_the_build_agent_in_the_cluster(self, rows: Rows) -> None:
        made = [row["ObjectRef"].get("name") for row in the(rows["AKSAudit"], Verb="create")]
        assert made[:2] == ["ci-agent-admin", "debug-7f9c"]

    def test_3174_the_address_in_singapore_is_our_gateway(self, rows: Rows) -> None:
        address = "2001:db8:51::1f"
        (signin,) = the(rows["SigninLogs"], IPAddress=address)
        assert signin["UserPrincipalName"] == "sofia.rossi@contoso.com"
        assert signin["TimeGenerated"].startswith(before("-9h28m"))
        sessions = the(rows["VpnSessions_CL"], EgressIP_s=address)
        assert {row["Gateway_s"] for row in sessions} == {"sin-gw-01"}
        assert len({row["UserPrincipalName_s"] for row in sessions}) > 3

    def test_3175_423_failures_on_212_accounts_and_one_success(self, rows: Rows) -> None:
        tried = [row for row in rows["SigninLogs"] if row["IPAddress"].startswith("198.51.100.14")]
        failed = Counter(row["UserPrincipalName"] for row in the(tried, ResultType="50126"))
        assert (sum(failed.values()), len(failed), max(failed.values())) == (423, 212, 2)
        (success,) = the(tried, ResultType="0")
        assert success["UserPrincipalName"] == "kiosk.lobby@contoso.com"
        assert success["IPAddress"] == "198.51.100.141"

    def test_3176_the_beacon_comes_every_minute(self, rows: Rows) -> None:
        beacon = the(rows["CommonSecurityLog"], DestinationIP="198.51.100.23")
        times = [datetime.fromisoformat(row["TimeGenerated"]) for row in beacon]
        gaps = sorted(late - early for early, late in pairwise(times))
        assert len(beacon) == 312 and {row["SourceIP"] for row in beacon} == {"192.0.2.107"}
        minute, most = timedelta(minutes=1), timedelta(seconds=4)
        assert abs(gaps[len(gaps) // 2] - minute) < most and gaps[-1] - minute < most

    def test_3177_from_the_mail_to_the_authenticator(self, rows: Rows) -> None:
        lena, thief = "lena.fischer@contoso.com", "203.0.113.45"
        mails = the(rows["EmailEvents"], SenderFromDomain="contoso-sharing.example")
        assert len({row["RecipientEmailAddress"] for row in mails}) == 14
        links = {row["NetworkMessageId"] for row in rows["EmailUrlInfo"]}
        assert {row["NetworkMessageId"] for row in mails} <= links
        (stolen,) = the(rows["SigninLogs"], IPAddress=thief)
        (own,) = the(
            rows["SigninLogs"], UniqueTokenIdentifier=stolen["UniqueTokenIdentifier"], Location="DE"
        )
        assert own["IPAddress"] == "192.0.2.24"
        read = the(rows["OfficeActivity"], UserId=lena, ClientIP=thief)
        assert Counter(row["Operation"] for row in read) == {
            "MailItemsAccessed": 38,
            "New-InboxRule": 1,
        }
        (registered,) = (row for row in rows["AuditLogs"] if row["AdditionalDetails"])
        assert registered["TimeGenerated"].startswith(before("-3h22m"))

    def test_3178_the_steps_on_both_servers(self, rows: Rows) -> None:
        steps = the(rows["DeviceProcessEvents"], InitiatingProcessAccountName="svc-backup")
        assert [(row["DeviceName"], row["FileName"]) for row in steps] == [
            ("srv-app-01.contoso.com", "pd64.exe"),
            ("srv-file-02.contoso.com", "xkqvdrtw.exe"),
            ("srv-file-02.contoso.com", "powershell.exe"),
            ("srv-file-02.contoso.com", "vssadmin.exe"),
        ]
        (first,) = the(rows["SecurityEvent"], LogonType=10)
        assert (first["TargetUserName"], first["IpAddress"]) == ("svc-backup", "192.0.2.61")

    def test_3179_the_mail_and_its_removal(self, rows: Rows) -> None:
        (removed,) = rows["EmailPostDeliveryEvents"]
        (mail,) = the(rows["EmailEvents"], NetworkMessageId=removed["NetworkMessageId"])
        assert mail["Subject"].startswith("Re: Invoice 88-104 - AI assistant")

    @pytest.mark.parametrize("number", [3164, 3170, 3171, 3172, 3174, 3175, 3176, 3177, 3178, 3179])
    def test_every_address_and_hash_of_an_incident_is_in_the_logs(
        self, world: World, rows: Rows, number: int
    ) -> None:
        case = world.by_number(number)
        assert case is not None
        text = json.dumps({name: each for name, each in rows.items() if name[:8] != "Security"})
        for entity in case.entities:
            properties = entity["properties"]
            for key in ("address", "hashValue"):
                assert properties.get(key, "") in text, properties

    def test_the_workspace_logs_its_alerts_incidents_and_usage(
        self, world: World, rows: Rows
    ) -> None:
        assert len(rows["SecurityAlert"]) == sum(len(case.alerts) for case in world.cases.values())
        newest = {row["IncidentNumber"]: row["Status"] for row in rows["SecurityIncident"]}
        assert newest == {
            case.number: case.incident["properties"]["status"] for case in world.cases.values()
        }
        described = {row["IncidentNumber"]: row["Description"] for row in rows["SecurityIncident"]}
        assert described[3177] == "" and described[3175] != ""
        used = {row["DataType"] for row in rows["Usage"]}
        assert used == {name for name, each in rows.items() if each} - {"Usage"}


class TestLoading:
    def test_takes_little_time_and_counts_the_rows(self, world: World, rows: Rows) -> None:
        began = time.process_time()
        logs = load_logs(NOW, world)
        assert time.process_time() - began < 4  # 1.0 s on two quiet cores
        counts = {name: table.rows for name, table in logs.tables.items()}
        assert counts == {name: len(rows.get(name, [])) for name in logs.tables}
        assert {name for name, count in counts.items() if not count} == {
            "AWSCloudTrail",
            "BehaviorAnalytics",
            "DnsEvents",
            "ThreatIntelIndicators",
        }

    def test_the_columns_are_those_of_real_workspaces(
        self, made: tuple[Mapping[str, Table], Rows]
    ) -> None:
        if not SCHEMA.exists():
            pytest.skip("the published schema is not beside the project")
        real = json.loads(SCHEMA.read_text("utf-8"))
        for name, table in made[0].items():
            if not name.endswith("_CL"):
                for column, kind in table.columns.items():
                    found = real[name].get(column, "string" if column == "SourceSystem" else "")
                    assert {"boolean": "bool"}.get(found, found) == kind, (name, column)
