"""What the workspace writes about itself: its alerts, its incidents, and how much was ingested."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..cases import SUBSCRIPTION, WORKSPACE_ID, Case, stamp
from ..world import World
from .rows import Row

_DEFENDER = {
    "Microsoft Defender for Endpoint": "MDATP",
    "Microsoft Defender for Office 365": "OATP",
    "Microsoft Defender for Identity": "AATP",
    "Microsoft Defender for Cloud Apps": "MCAS",
    "Microsoft Defender for Cloud": "Azure Security Center",
    "Microsoft Entra ID Protection": "IPC",
}
_SECURITY = ("Security", "Signin", "Audit", "Device", "Email", "Url", "Common", "Sentinel", "AAD")


def alerts(cases: Iterable[Case]) -> Iterator[Row]:
    """Make the rows of SecurityAlert: one for each alert of the incidents."""
    for case in cases:
        for alert in case.alerts:
            yield _alert(case, alert["properties"])


def incidents(world: World, cases: Iterable[Case]) -> Iterator[Row]:
    """Make the rows of SecurityIncident: one when the incident was made, one for its last change.

    An incident that came through Defender has no description here, as in real workspaces.
    """
    for case in cases:
        shown = world.show(case)["properties"]
        created: Row = {
            **shown,
            "status": "New",
            "owner": {},
            "lastModifiedTimeUtc": shown["createdTimeUtc"],
            "classification": "",
            "classificationReason": "",
            "classificationComment": "",
        }
        yield _incident(case, created)
        if shown["lastModifiedTimeUtc"] != shown["createdTimeUtc"] or shown["status"] != "New":
            yield _incident(case, shown)


def usage(tables: Mapping[str, Sequence[Row]]) -> Iterator[Row]:
    """Make the rows of Usage: one for each table and hour that has rows."""
    for table, rows in tables.items():
        hours = Counter(row["TimeGenerated"][:13] for row in rows)
        for hour, count in sorted(hours.items()):
            start = datetime.fromisoformat(f"{hour}:00:00+00:00")
            end = stamp(start + timedelta(hours=1))
            yield _row(
                "Usage",
                end,
                {
                    "DataType": table,
                    "Solution": "Security" if table.startswith(_SECURITY) else "LogManagement",
                    "IsBillable": table not in ("SecurityAlert", "SecurityIncident", "Heartbeat"),
                    "Quantity": round(count * 0.0015, 4),
                    "QuantityUnit": "MBytes",
                    "StartTime": stamp(start),
                    "EndTime": end,
                    "TotalBatches": max(count // 10, 1),
                    "AvgLatencyInSeconds": 12.5,
                    "ResourceUri": f"/subscriptions/{SUBSCRIPTION}",
                },
            )


def _alert(case: Case, alert: Mapping[str, Any]) -> Row:
    extra = alert["additionalData"]
    product: str = alert["productName"]
    hosts = [each["properties"]["friendlyName"] for each in case.entities if each["kind"] == "Host"]
    users = [
        each["properties"]["friendlyName"] for each in case.entities if each["kind"] == "Account"
    ]
    return _row(
        "SecurityAlert",
        alert["timeGenerated"],
        {
            "DisplayName": alert["alertDisplayName"],
            "AlertName": alert["alertDisplayName"],
            "AlertSeverity": alert["severity"],
            "Description": alert["description"],
            "ProviderName": _DEFENDER.get(product, "ASI Scheduled Alerts"),
            "VendorName": alert["vendorName"],
            "ProductName": product,
            "ProductComponentName": alert.get("productComponentName", ""),
            "AlertType": alert["alertType"],
            "SystemAlertId": alert["systemAlertId"],
            "VendorOriginalId": alert["providerAlertId"],
            "CompromisedEntity": (hosts or users or [""])[0],
            "ConfidenceLevel": alert["confidenceLevel"],
            "Status": alert["status"],
            "StartTime": alert["startTimeUtc"],
            "EndTime": alert["endTimeUtc"],
            "ProcessingEndTime": alert["processingEndTime"],
            "Tactics": ", ".join(alert["tactics"]),
            "Techniques": extra.get("MitreTechniques", "[]"),
            "Entities": json.dumps([_entity(each) for each in case.entities]),
            "ExtendedProperties": json.dumps(
                {"Custom Details": extra["Custom Details"]} if "Custom Details" in extra else {}
            ),
            "IsIncident": False,
        },
    )


def _entity(entity: Mapping[str, Any]) -> Row:
    properties = {
        key[0].upper() + key[1:]: value
        for key, value in entity["properties"].items()
        if key != "friendlyName"
    }
    return {"$id": entity["name"], "Type": entity["kind"].lower(), **properties}


def _incident(case: Case, shown: Mapping[str, Any]) -> Row:
    changed: str = shown["lastModifiedTimeUtc"]
    defender = shown["providerName"] == "Microsoft XDR"
    return _row(
        "SecurityIncident",
        changed,
        {
            "IncidentName": case.name,
            "IncidentNumber": case.number,
            "Title": shown["title"],
            "Description": "" if defender else shown.get("description", ""),
            "Severity": shown["severity"],
            "Status": shown["status"],
            "Classification": shown.get("classification", ""),
            "ClassificationReason": shown.get("classificationReason", ""),
            "ClassificationComment": shown.get("classificationComment", ""),
            "Owner": shown["owner"],
            "Labels": shown["labels"],
            "AlertIds": [alert["name"] for alert in case.alerts],
            "CreatedTime": shown["createdTimeUtc"],
            "LastModifiedTime": changed,
            "FirstActivityTime": shown["firstActivityTimeUtc"],
            "LastActivityTime": shown["lastActivityTimeUtc"],
            "ClosedTime": changed if shown["status"] == "Closed" else None,
            "ProviderName": shown["providerName"],
            "ProviderIncidentId": shown["providerIncidentId"],
            "IncidentUrl": shown["incidentUrl"],
            "ModifiedBy": "Incident created from alert" if shown["status"] == "New" else "Analyst",
            "AdditionalData": shown["additionalData"],
        },
    )


def _row(table: str, at: str, columns: Row) -> Row:
    return {
        "TenantId": WORKSPACE_ID,
        "SourceSystem": "Detection" if table == "SecurityAlert" else "Azure",
        "Type": table,
        "TimeGenerated": at,
        **columns,
    }
