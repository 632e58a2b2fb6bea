"""What every Log Analytics workspace with Sentinel has although its own catalogue may not list it.

The catalogue wins: a function it has takes the place of the one here. What is here accepts any
column, since its columns depend on the watchlist, the parsers or the resources behind it.
"""

from __future__ import annotations

from ..domain.query import Catalogue

# Azure resources each write columns of their own into it.
# https://learn.microsoft.com/azure/azure-monitor/reference/tables/azurediagnostics
OPEN_TABLES = frozenset({"AzureDiagnostics"})

_WATCHLISTS = {
    "_GetWatchlist": "watchlistAlias: string, keys: dynamic = dynamic([])",
    "_GetWatchlistAlias": "",
}

# The parsers that Microsoft keeps in every workspace; `imAuthentication` and its like are deployed
# by hand, so they exist only where the catalogue has them.
# https://learn.microsoft.com/azure/sentinel/normalization-about-parsers
_PARSERS = """
    AlertEvent AssetEntity AuditEvent Authentication DhcpEvent Dns FileEvent NetworkSession
    ProcessCreate ProcessEvent ProcessTerminate RegistryEvent UserManagement WebSession
"""
# Which of these a parser takes depends on its schema and version, so each is offered all of them.
# https://learn.microsoft.com/azure/sentinel/normalization-manage-parsers
_FILTERS = """
    starttime endtime pack disabled
    actingprocess_has_any actorusername actorusername_has actorusername_has_any
    alertverdict_has_any attacktactics_has_any attacktechniques_has_any commandline_has_all
    commandline_has_any commandline_has_any_ip_prefix domain_has_any dstipaddr_has_any_prefix
    dstportnumber dvcaction dvchostname_has_any dvcipaddr_has_any_prefix dvcname_has_any
    eventresult eventresultdetails_in eventseverity_has_any eventtype eventtype_in hashes_has_any
    hostname_has_any httpuseragent_has_any ipaddr_has_any_prefix newvalue_has_any object_has_any
    operation_has_any parentprocess_has_any registrykey_has_any registryvalue_has_any
    registryvaluedata_has_any response_has_any_prefix response_has_ipv4 responsecodename
    srcfilepath_has_any srchostname_has_any srcipaddr srcipaddr_has_any_prefix srcusername_has_any
    targetappname_has_any targetfilepath_has_any targetipaddr_has_any_prefix targetprocess_has_any
    targetusername targetusername_has targetusername_has_any threatcategory_has_any url_has_any
    username_has_any
"""


def open_functions(catalogue: Catalogue) -> list[tuple[str, str]]:
    """Name and parameters (KQL text in parentheses) of what the catalogue does not list itself.

    Kusto does not type-check the arguments of such functions, so one type stands for all.
    """
    filters = ", ".join(f"{name}: dynamic = dynamic(null)" for name in _FILTERS.split())
    known = dict(_WATCHLISTS)
    for schema in _PARSERS.split():
        known[f"_Im_{schema}"] = known[f"_ASim_{schema}"] = filters
    listed = {function.name for function in catalogue.functions}
    return [(name, f"({parameters})") for name, parameters in known.items() if name not in listed]
