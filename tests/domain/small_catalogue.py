"""A workspace of more than a hundred tables, for tests: some that Sentinel has, each with a few of
its columns, among ninety of other teams' own."""

from bot.domain.query import Catalogue, Column, Table

_TABLES = """
SigninLogs UserPrincipalName IPAddress Location LocationDetails ResultType MfaDetail AppDisplayName
AADNonInteractiveUserSignInLogs UserPrincipalName IPAddress Location ResultType AppDisplayName
AADServicePrincipalSignInLogs ServicePrincipalName IPAddress ResultType AppId
AuditLogs OperationName InitiatedBy TargetResources Result Category
AADRiskyUsers UserPrincipalName RiskLevel RiskState RiskDetail
AADUserRiskEvents UserPrincipalName RiskEventType IpAddress RiskLevel
AADProvisioningLogs Identity Action ResultType
IdentityInfo AccountUPN Manager Department GroupMembership AssignedRoles JobTitle
IdentityLogonEvents AccountUpn DeviceName IPAddress LogonType Protocol
IdentityQueryEvents AccountUpn DeviceName QueryType QueryTarget
BehaviorAnalytics UserPrincipalName ActivityInsights UsersInsights SourceIPAddress
UserPeerAnalytics UserPrincipalName PeerUserPrincipalName Rank
OfficeActivity UserId ClientIP Operation OfficeWorkload OfficeObjectId MailboxOwnerUPN
CloudAppEvents AccountObjectId IPAddress ActionType Application ObjectName RawEventData
EmailEvents SenderFromAddress RecipientEmailAddress Subject NetworkMessageId DeliveryAction
EmailAttachmentInfo FileName SHA256 NetworkMessageId RecipientEmailAddress
EmailUrlInfo Url UrlDomain NetworkMessageId
UrlClickEvents AccountUpn Url ActionType IPAddress IsClickedThrough
DeviceProcessEvents DeviceName FileName ProcessCommandLine AccountUpn SHA256
DeviceNetworkEvents DeviceName RemoteIP RemoteUrl RemotePort InitiatingProcessFileName
DeviceFileEvents DeviceName FileName FolderPath SHA256 ActionType InitiatingProcessFileName
DeviceRegistryEvents DeviceName RegistryKey RegistryValueName RegistryValueData
DeviceLogonEvents DeviceName AccountName LogonType RemoteIP ActionType
DeviceImageLoadEvents DeviceName FileName FolderPath SHA256
DeviceEvents DeviceName ActionType FileName AdditionalFields
DeviceInfo DeviceName OSPlatform OSVersion LoggedOnUsers
DeviceTvmSoftwareVulnerabilities DeviceName CveId SoftwareName VulnerabilitySeverityLevel
SecurityAlert AlertName AlertSeverity Entities ProviderName Tactics
SecurityIncident IncidentNumber Title Severity Status Owner
AlertEvidence AlertId EntityType EvidenceRole AccountUpn DeviceName
SecurityEvent EventID Account Computer Activity LogonType IpAddress CommandLine TargetAccount
WindowsEvent EventID Computer Channel EventData
Event EventID Computer Source RenderedDescription
Alert AlertName AlertSeverity Computer
Syslog Computer Facility SeverityLevel SyslogMessage ProcessName HostIP
Heartbeat Computer OSType ComputerIP
CommonSecurityLog DeviceVendor SourceIP DestinationIP DestinationPort DeviceAction SentBytes
DnsEvents Computer Name ClientIP IPAddresses QueryType
W3CIISLog csUriStem csMethod cIP scStatus csUserAgent
AzureActivity Caller CallerIpAddress OperationNameValue ActivityStatusValue ResourceGroup
AzureDiagnostics Category OperationName Resource CallerIPAddress
AZFWNetworkRule SourceIp DestinationIp DestinationPort Action
AZKVAuditLogs CallerIpAddress OperationName Identity ResultType
StorageBlobLogs AccountName CallerIpAddress OperationName Uri StatusText
AKSAudit User Verb ObjectRef SourceIps
AWSCloudTrail EventName UserIdentityArn SourceIpAddress AWSRegion
ThreatIntelligenceIndicator NetworkIP DomainName Url FileHashValue ConfidenceScore
Watchlist WatchlistAlias WatchlistItem SearchKey
Usage DataType Quantity Solution
"""
_OTHERS = (
    "Billing", "Build", "Cart", "Checkout", "Crew", "Delivery", "Elevator", "Fleet", "Forecast",
    "Heating", "Inventory", "Invoice", "Lighting", "Loyalty", "Meter", "Order", "Parking",
    "Payroll", "Printer", "Queue", "Recipe", "Refund", "Rental", "Sensor", "Shift", "Stock",
    "Supplier", "Ticket", "Turbine", "Warehouse",
)  # fmt: skip


def catalogue() -> Catalogue:
    """Every column is text; every table has a time and what all tables have."""
    tables = [line.split() for line in _TABLES.strip().splitlines()]
    for what in _OTHERS:
        tables.append([f"{what}Events_CL", "Computer", "Status", f"{what}Id", "UserId"])
        tables.append([f"{what}Errors_CL", "Computer", "Message", "Severity", "IPAddress"])
        tables.append([f"{what}Metrics_CL", "Counter", "Value"])
    return Catalogue(tuple(table(name, *columns) for name, *columns in tables))


def table(name: str, *columns: str, description: str = "", rows: int | None = None) -> Table:
    named = (Column("TimeGenerated", "datetime"), *(Column(each, "string") for each in columns))
    dull = (Column("TenantId", "string"), Column("_ResourceId", "string"), Column("Type", "string"))
    return Table(name, named + dull, description, rows=rows)
