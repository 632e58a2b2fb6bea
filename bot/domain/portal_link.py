"""Opens a query in the Azure portal, in the Logs page of its workspace."""

from __future__ import annotations

import base64
import gzip
from datetime import timedelta
from urllib.parse import quote

from .incident import Workspace

# What Teams' clients, mail gateways and browsers all let through.
MAX_LINK_CHARS = 2_000


def logs_link(
    workspace: Workspace,
    tenant: str,
    query: str,
    portal: str = "https://portal.azure.com",
    timespan: timedelta = timedelta(days=1),
) -> str | None:
    """Link to the portal's Logs page with the query filled in; None where that grows too long.

    The form is the one of the portal's own "Copy link to query": the query compressed with gzip,
    in base64, percent-encoded. It is not documented; Microsoft Learn's KQL tutorials link in this
    way ("Get started with log queries"), as does zimmergren.net, "Deep linking Azure Log
    Analytics and App Insights queries".
    """
    resource = (
        f"/subscriptions/{workspace.subscription_id}/resourceGroups/{workspace.resource_group}"
        f"/providers/Microsoft.OperationalInsights/workspaces/{workspace.workspace}"
    )
    # No time stamp in the archive: the same query is the same link.
    packed = base64.b64encode(gzip.compress(query.encode(errors="replace"), mtime=0)).decode()
    link = (
        f"{portal.rstrip('/')}/#@{quote(tenant, safe='')}"
        "/blade/Microsoft_OperationsManagementSuite_Workspace/Logs.ReactView"
        f"/resourceId/{quote(resource, safe='')}/source/LogsBlade.AnalyticsShareLinkToQuery"
        f"/q/{quote(packed, safe='')}/timespan/{_duration(timespan)}"
    )
    return link if len(link) <= MAX_LINK_CHARS else None


def _duration(timespan: timedelta) -> str:
    minutes = int(timespan.total_seconds() // 60)
    return f"PT{minutes}M" if minutes % 1440 else f"P{minutes // 1440}D"
