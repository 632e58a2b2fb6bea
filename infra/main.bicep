// Casemate in an Azure subscription: a resource group with all it needs, and its rights on the
// workspace of Microsoft Sentinel. docs/deploy.md says how it is used and how far it was checked.
targetScope = 'subscription'

@description('Names every resource; 3 to 12 lower-case letters and digits.')
@minLength(3)
@maxLength(12)
param name string = 'casemate'

@description('The region of all resources; the model must be offered there.')
param location string

@description('The image of the bot in the registry below; empty until one was built.')
param image string = ''

@description('The bot\'s application id; empty makes a managed identity the bot, which has no secret.')
param botAppId string = ''

@description('The object id of that application\'s service principal.')
param botPrincipalId string = ''

@secure()
@description('That application\'s client secret; it is kept in the key vault only.')
param botAppPassword string = ''

@description('Who may speak to the bot, comma separated; empty is this tenant.')
param allowedTenantIds string = ''

@description('Optional: only members of this Teams team may use the bot.')
param socTeamId string = ''

@description('The workspace of Microsoft Sentinel: where it is, and its GUID for queries.')
param sentinelSubscriptionId string = subscription().subscriptionId
param sentinelResourceGroup string
param sentinelWorkspace string
param sentinelWorkspaceId string

@description('Where several are served: all of them, the one above too, each with name, subscription_id, resource_group, workspace and workspace_id.')
param sentinelWorkspaces array = []

@description('The application that a playbook asks a token for; empty leaves out Logic App and rule.')
param webhookAudience string = ''

@description('The object id of Sentinel\'s own service principal, "Azure Security Insights", in this tenant.')
param securityInsightsPrincipalId string = ''

@description('The model and its version; the deployment is called like the model.')
param modelName string = 'gpt-5.4-mini'
param modelVersion string = '2026-03-17'

@description('Where a question may be worked on: DataZoneStandard stays in the EU or the US, Standard in the region.')
param modelSku string = 'DataZoneStandard'

@description('Thousands of tokens a minute.')
param modelCapacity int = 100

@description('US dollars per million tokens, as {"input":0.75,"cached":0.075,"output":4.5}; empty leaves prices out.')
param modelPrices string = ''

@allowed(['suggest', 'off', 'post'])
param enrich string = 'suggest'
param enrichPerHour int = 30
param tasksAlsoAsComment bool = false
param pollSeconds int = 60
param historyDays int = 30
param auditDays int = 400
param analystRequestsPerMinute int = 1200
param tenantRequestsPerMinute int = 12000
param analystTokensPerDay int = 30000000
param tenantTokensPerDay int = 300000000
param kqlCheckers int = 1

@description('analyst needs a botAppId: a managed identity cannot sign analysts in.')
@allowed(['bot', 'analyst'])
param writeAs string = 'bot'

@description('Of another cloud than the public one: where the bot\'s signing keys, the logs and the sign-ins are.')
param botOpenidMetadata string = ''
param logAnalyticsEndpoint string = ''
param tokenService string = ''

@description('A collector that takes OTLP over HTTP instead of Application Insights; alerts and workbook then see nothing.')
param otlpEndpoint string = ''

@description('The id of an action group that alerts go to; empty keeps them in the portal.')
param actionGroupId string = ''

var managed = empty(botAppId)
var otherWorkspaces = filter(sentinelWorkspaces, each => toLower(each.workspace_id) != toLower(sentinelWorkspaceId))

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${name}'
  location: location
}

module identity 'identity.bicep' = {
  scope: group
  name: 'identity'
  params: { name: name, location: location }
}

var principalId = managed ? identity.outputs.principalId : botPrincipalId
var appId = managed ? identity.outputs.clientId : botAppId

module telemetry 'telemetry.bicep' = {
  scope: group
  name: 'telemetry'
  params: { name: name, location: location }
}

module alerts 'alerts.bicep' = {
  scope: group
  name: 'alerts'
  params: {
    name: name
    location: location
    workspaceId: telemetry.outputs.workspaceId
    actionGroupId: actionGroupId
  }
}

module vault 'vault.bicep' = {
  scope: group
  name: 'vault'
  params: {
    name: name
    location: location
    readerPrincipalId: identity.outputs.principalId
    botAppPassword: botAppPassword
  }
}

module cosmos 'cosmos.bicep' = {
  scope: group
  name: 'cosmos'
  params: { name: name, location: location, principalId: principalId }
}

module model 'model.bicep' = {
  scope: group
  name: 'model'
  params: {
    name: name
    location: location
    principalId: principalId
    modelName: modelName
    modelVersion: modelVersion
    sku: modelSku
    capacity: modelCapacity
  }
}

module platform 'platform.bicep' = {
  scope: group
  name: 'platform'
  params: {
    name: name
    location: location
    workspaceName: telemetry.outputs.workspaceName
    pullPrincipalId: identity.outputs.principalId
  }
}

module bot 'bot.bicep' = {
  scope: group
  name: 'bot'
  params: {
    name: name
    appId: appId
    managedIdentityId: managed ? identity.outputs.id : ''
    endpoint: '${platform.outputs.botUrl}/api/messages'
    clientSecret: botAppPassword
  }
}

module forward 'forward.bicep' = if (!empty(webhookAudience)) {
  scope: group
  name: 'forward'
  params: {
    name: name
    location: location
    webhookUrl: '${platform.outputs.botUrl}/api/incidents'
    webhookAudience: webhookAudience
    securityInsightsPrincipalId: securityInsightsPrincipalId
  }
}

module sentinel 'sentinel.bicep' = {
  scope: resourceGroup(sentinelSubscriptionId, sentinelResourceGroup)
  name: '${name}-sentinel'
  params: {
    name: name
    workspaceName: sentinelWorkspace
    botPrincipalId: principalId
    playbookId: empty(webhookAudience) ? '' : forward.outputs.playbookId
    playbookPrincipalId: empty(webhookAudience) ? '' : forward.outputs.principalId
  }
}

module otherSentinel 'sentinel.bicep' = [for each in otherWorkspaces: {
  scope: resourceGroup(each.subscription_id, each.resource_group)
  name: '${name}-${uniqueString(each.workspace_id)}'
  params: {
    name: name
    workspaceName: each.workspace
    botPrincipalId: principalId
    playbookId: empty(webhookAudience) ? '' : forward.outputs.playbookId
    playbookPrincipalId: empty(webhookAudience) ? '' : forward.outputs.principalId
  }
}]

module app 'app.bicep' = if (!empty(image)) {
  scope: group
  name: 'app'
  // A revision starts only if its secret can be read and its store exists.
  dependsOn: [vault, sentinel, otherSentinel]
  params: {
    name: name
    location: location
    image: image
    environmentId: platform.outputs.environmentId
    registryServer: platform.outputs.registryServer
    identityId: identity.outputs.id
    secretUrl: managed ? '' : vault.outputs.botAppPasswordUrl
    appId: appId
    appType: managed ? 'UserAssignedMSI' : 'SingleTenant'
    allowedTenantIds: allowedTenantIds
    socTeamId: socTeamId
    modelBaseUrl: model.outputs.baseUrl
    modelName: modelName
    modelPrices: modelPrices
    sentinelSubscriptionId: sentinelSubscriptionId
    sentinelResourceGroup: sentinelResourceGroup
    sentinelWorkspace: sentinelWorkspace
    sentinelWorkspaceId: sentinelWorkspaceId
    sentinelWorkspaces: sentinelWorkspaces
    storeUrl: cosmos.outputs.url
    cosmosDatabase: cosmos.outputs.database
    webhookAudience: webhookAudience
    webhookCallers: empty(webhookAudience) ? '' : forward.outputs.principalId
    enrich: enrich
    enrichPerHour: enrichPerHour
    tasksAlsoAsComment: tasksAlsoAsComment
    pollSeconds: pollSeconds
    historyDays: historyDays
    auditDays: auditDays
    analystRequestsPerMinute: analystRequestsPerMinute
    tenantRequestsPerMinute: tenantRequestsPerMinute
    analystTokensPerDay: analystTokensPerDay
    tenantTokensPerDay: tenantTokensPerDay
    kqlCheckers: kqlCheckers
    writeAs: writeAs
    oauthConnection: bot.outputs.oauthConnection
    telemetryConnection: telemetry.outputs.connectionString
    otlpEndpoint: otlpEndpoint
    botOpenidMetadata: botOpenidMetadata
    logAnalyticsEndpoint: logAnalyticsEndpoint
    tokenService: tokenService
  }
}

output BOT_APP_ID string = appId
output BOT_URL string = platform.outputs.botUrl
output REGISTRY string = platform.outputs.registryName
