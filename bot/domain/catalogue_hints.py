"""What an experienced analyst knows of a workspace's tables, as data: words, entities, tactics.

A table that is missing here is found by its own names and description. A line here is worth adding
when analysts call what a table holds by words that stand in none of its columns.
"""

from __future__ import annotations

from collections.abc import Mapping

# What stands in any question and says nothing of where to look.
STOP_WORDS = (
    "a about after all an and any anything are at be been before by can did do does during find "
    "for from get give had has have he her his how i in into is it its last list look me my of "
    "off on or other our out over same search see seen she show since so some tell than that the "
    "their them then there these they this those time times to today under until up us use used "
    "using was we week were what when where which who whose why with within yesterday you day "
    "days hour hours event log logs new much many query kql incident"
)

# The words analysts use for what is in a table.
TABLE_WORDS: Mapping[str, str] = {
    # identity
    "SigninLogs": "interactive login logon signed authentication user account password mfa "
    "multifactor conditional access risky location country travel anonymous failed entra azure ad",
    "AADNonInteractiveUserSignInLogs": "login logon token refresh session entra legacy client",
    "AADServicePrincipalSignInLogs": "login service principal application app secret entra",
    "AADManagedIdentitySignInLogs": "login managed identity entra",
    "AuditLogs": "entra azure ad directory role group member membership added assigned consent "
    "grant granted permission application registration user created reset password change mfa "
    "method registered device policy conditional access admin privileged",
    "AADUserRiskEvents": "risk risky detection leaked credential identity protection travel",
    "AADRiskyUsers": "risk risky user identity protection",
    "AADProvisioningLogs": "provisioning scim provisioned entra",
    "MicrosoftGraphActivityLogs": "graph api request token enumerate",
    "IdentityInfo": "department manager job title user group member role privileged admin "
    "department employee who",
    "IdentityLogonEvents": "login logon domain controller active directory kerberos ntlm "
    "on-premises lateral",
    "IdentityQueryEvents": "ldap samr query domain controller enumeration reconnaissance active "
    "directory",
    "IdentityDirectoryEvents": "active directory domain controller group membership password "
    "change dcsync replication on-premises",
    "ADFSSignInLogs": "login adfs federation",
    "BehaviorAnalytics": "ueba anomaly anomalous unusual behavior behaviour peer first time "
    "uncommon baseline",
    # mail and collaboration
    "OfficeActivity": "office exchange mailbox inbox rule forwarding forward sharepoint onedrive "
    "teams file download downloaded shared sharing mail delegate permission site document",
    "CloudAppEvents": "cloud app saas office oauth inbox rule download upload sharepoint activity "
    "defender",
    "EmailEvents": "mail phishing phish sender recipient subject delivered message spam inbound",
    "EmailAttachmentInfo": "mail attachment file malware",
    "EmailUrlInfo": "mail link url phishing",
    "EmailPostDeliveryEvents": "mail purge zap quarantine removed delivered",
    "UrlClickEvents": "click clicked link url safe phishing",
    # endpoints
    "DeviceProcessEvents": "process command line powershell script executed execution ran run "
    "started launched parent child endpoint lolbin binary encoded tool",
    "DeviceNetworkEvents": "connection connected network ip remote port outbound beacon c2 command "
    "control domain url endpoint exfiltration",
    "DeviceFileEvents": "file created written dropped renamed deleted encrypted ransomware hash "
    "download extension endpoint",
    "DeviceRegistryEvents": "registry key run autostart persistence value",
    "DeviceLogonEvents": "login logon rdp remote desktop interactive local admin lateral endpoint "
    "brute force smb",
    "DeviceImageLoadEvents": "dll library loaded module side loading driver",
    "DeviceEvents": "antivirus exploit guard asr tampering usb scheduled task service installed "
    "injection amsi lsass dump credential firewall blocked endpoint defender",
    "DeviceInfo": "os version machine onboarded exposure logged endpoint device host inventory",
    "DeviceNetworkInfo": "adapter mac address ip assigned device",
    "DeviceFileCertificateInfo": "signature signed certificate signer",
    "DeviceTvmSoftwareVulnerabilities": "vulnerability vulnerable cve patch exposed",
    "DeviceTvmSoftwareInventory": "software installed version inventory",
    "SecurityEvent": "windows event log logon login failed brute force account created lockout "
    "locked group added service installed scheduled task cleared kerberos ntlm rdp process "
    "domain controller active directory 4624 4625 4688 4720 4732 1102",
    "WindowsEvent": "windows event log forwarded sysmon powershell",
    "Event": "windows event log system application sysmon powershell service installed",
    "Syslog": "linux ssh sudo cron auth daemon unix",
    "LinuxAuditLog": "linux auditd execve",
    "Heartbeat": "agent online machine computer os reporting",
    # alerts and intelligence
    "SecurityAlert": "alert alerts detection rule provider severity",
    "SecurityIncident": "incident incidents closed owner classification severity",
    "AlertInfo": "alert defender detection technique",
    "AlertEvidence": "alert evidence entity entities defender",
    "ThreatIntelligenceIndicator": "threat intelligence indicator ioc feed malicious known",
    "ThreatIntelIndicators": "threat intelligence indicator ioc feed malicious known stix",
    "Watchlist": "watchlist vip list high value",
    "Anomalies": "anomaly anomalous unusual ueba machine learning",
    "HuntingBookmark": "bookmark hunting",
    # network
    "CommonSecurityLog": "firewall proxy vpn palo alto fortinet fortigate checkpoint cisco zscaler "
    "traffic denied allowed blocked outbound cef bytes ids ips threat url",
    "WindowsFirewall": "firewall windows dropped allowed",
    "DnsEvents": "dns query lookup resolved domain",
    "ASimDnsActivityLogs": "dns query lookup resolved domain",
    "ASimNetworkSessionLogs": "network session traffic firewall connection",
    "ASimWebSessionLogs": "web proxy http url session",
    "ASimAuthenticationEventLogs": "authentication login logon",
    "AZFWNetworkRule": "azure firewall traffic denied allowed network",
    "AZFWApplicationRule": "azure firewall traffic fqdn web denied allowed",
    "AZFWDnsQuery": "azure firewall dns",
    "NTANetAnalytics": "flow traffic nsg vnet virtual network analytics",
    "W3CIISLog": "iis web server http request webshell uri exploit",
    "VMConnection": "connection network virtual machine port",
    # clouds and applications
    "AzureActivity": "azure resource subscription virtual machine vm created deleted role "
    "assignment deployment rbac arm portal policy administrative",
    "AzureDiagnostics": "diagnostic waf gateway key vault sql firewall azure resource",
    "StorageBlobLogs": "storage blob container download read delete sas account exfiltration",
    "StorageFileLogs": "storage file share smb account",
    "AZKVAuditLogs": "key vault secret certificate read retrieved access",
    "AKSAudit": "kubernetes aks cluster pod kubectl exec",
    "AKSAuditAdmin": "kubernetes aks cluster pod kubectl exec",
    "ContainerLogV2": "container pod stdout kubernetes",
    "SQLSecurityAuditEvents": "sql database statement query audit dump",
    "AppServiceHTTPLogs": "web app service http request",
    "AWSCloudTrail": "aws amazon iam s3 bucket ec2 assume role console api",
    "AWSGuardDuty": "aws amazon guardduty finding",
    "AWSVPCFlow": "aws amazon vpc flow traffic",
    "GCPAuditLogs": "gcp google cloud project iam api",
    "PowerBIActivity": "power bi report export dataset",
    "MicrosoftPurviewInformationProtection": "sensitivity label dlp protected document purview",
    "LAQueryLogs": "log analytics query ran searched workspace",
    "SentinelHealth": "sentinel health connector rule playbook failed automation",
    "SentinelAudit": "sentinel rule changed deleted disabled audit",
    "Usage": "ingestion volume billing gigabytes data ingested cost",
}

# The columns that hold an entity of a kind (folded), the most telling first.
ENTITY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "account": (
        "UserPrincipalName", "AccountUpn", "UserId", "AccountName", "Account", "TargetAccount",
        "InitiatedBy", "Caller", "InitiatingProcessAccountUpn", "AccountObjectId",
        "TargetUserName", "SourceUserName", "Actor", "TargetUsername", "ActorUsername",
    ),
    "host": (
        "DeviceName", "Computer", "HostName", "DestinationDeviceName", "DvcHostname", "DeviceId",
        "SrcHostname", "DstHostname",
    ),
    "ip": (
        "IPAddress", "RemoteIP", "SourceIP", "DestinationIP", "ClientIP", "CallerIpAddress",
        "SenderIPv4", "IpAddress", "LocalIP", "SrcIpAddr", "DstIpAddr", "NetworkIP",
        "SourceIp", "DestinationIp", "CallerIPAddress", "Client_IPAddress", "ClientIPAddress",
    ),
    "file": ("FileName", "FolderPath", "SourceFileName", "OfficeObjectId", "ObjectName"),
    "filehash": ("SHA256", "SHA1", "MD5", "FileHash", "FileHashValue"),
    "process": (
        "ProcessCommandLine", "InitiatingProcessCommandLine", "InitiatingProcessFileName",
        "CommandLine", "NewProcessName", "ProcessName",
    ),
    "url": ("Url", "RemoteUrl", "RequestURL", "UrlDomain", "DomainName", "Fqdn"),
    "dnsresolution": ("DnsQuery", "QueryName", "RemoteUrl", "Name", "Fqdn", "DomainName"),
    "registrykey": ("RegistryKey", "PreviousRegistryKey"),
    "registryvalue": ("RegistryValueName", "RegistryValueData", "RegistryKey"),
    "mailbox": ("RecipientEmailAddress", "MailboxOwnerUPN", "UserId", "AccountUpn"),
    "mailmessage": (
        "NetworkMessageId", "InternetMessageId", "Subject", "SenderFromAddress",
        "RecipientEmailAddress",
    ),
    "mailcluster": ("NetworkMessageId", "Subject", "SenderFromAddress"),
    "submissionmail": ("NetworkMessageId", "Subject", "SenderFromAddress"),
    "cloudapplication": ("AppDisplayName", "Application", "ApplicationId", "AppId"),
    "azureresource": ("ResourceId", "ResourceGroup", "Resource", "AccountName"),
    "securitygroup": ("TargetResources", "TargetAccount", "MemberName", "GroupName"),
    "malware": ("ThreatTypes", "ThreatNames", "ThreatName", "DetectionMethods"),
}  # fmt: skip

# Where each tactic (folded, without spaces) leaves its traces first.
TACTIC_TABLES: Mapping[str, tuple[str, ...]] = {
    "reconnaissance": ("SigninLogs", "CommonSecurityLog", "W3CIISLog"),
    "resourcedevelopment": ("EmailEvents", "AzureActivity", "AuditLogs"),
    "initialaccess": ("SigninLogs", "EmailEvents", "EmailUrlInfo", "UrlClickEvents"),
    "execution": ("DeviceProcessEvents", "SecurityEvent", "DeviceEvents"),
    "persistence": ("AuditLogs", "OfficeActivity", "DeviceRegistryEvents", "SecurityEvent"),
    "privilegeescalation": ("AuditLogs", "AzureActivity", "SecurityEvent", "DeviceProcessEvents"),
    "defenseevasion": ("DeviceProcessEvents", "DeviceEvents", "OfficeActivity", "SecurityEvent"),
    "credentialaccess": ("SigninLogs", "SecurityEvent", "DeviceProcessEvents", "DeviceEvents"),
    "discovery": ("DeviceProcessEvents", "IdentityQueryEvents", "MicrosoftGraphActivityLogs"),
    "lateralmovement": ("DeviceLogonEvents", "SecurityEvent", "IdentityLogonEvents"),
    "collection": ("OfficeActivity", "CloudAppEvents", "DeviceFileEvents"),
    "commandandcontrol": ("DeviceNetworkEvents", "CommonSecurityLog", "DnsEvents"),
    "exfiltration": (
        "OfficeActivity", "CloudAppEvents", "DeviceNetworkEvents", "CommonSecurityLog",
    ),
    "impact": ("DeviceFileEvents", "DeviceProcessEvents", "AzureActivity"),
    "preattack": ("SigninLogs", "CommonSecurityLog"),
    "impairprocesscontrol": ("SecurityAlert", "CommonSecurityLog"),
    "inhibitresponsefunction": ("SecurityAlert", "CommonSecurityLog"),
}  # fmt: skip

# Columns that nearly every table has and no question is about: left out of a prompt.
DULL_COLUMNS = frozenset({
    "TenantId", "SourceSystem", "MG", "ManagementGroupName", "Type", "AADTenantId", "AzureTenantId",
    "_BilledSize", "_IsBillable", "_ItemId", "_ResourceId", "_SubscriptionId", "_TimeReceived",
    "_Internal_WorkspaceResourceId", "ReportId", "TimeReceived", "OperationVersion",
    "SourceComputerId",
})  # fmt: skip
