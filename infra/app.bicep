// The bot's container: what it is told, when it counts as well, and how it grows.
param name string
param location string
param image string
param environmentId string
param registryServer string
param identityId string
param secretUrl string
param appId string
param appType string
param allowedTenantIds string
param socTeamId string
param modelBaseUrl string
param modelName string
param modelPrices string
param sentinelSubscriptionId string
param sentinelResourceGroup string
param sentinelWorkspace string
param sentinelWorkspaceId string
param sentinelWorkspaces array
param storeUrl string
param cosmosDatabase string
param webhookAudience string
param webhookCallers string
param enrich string
param enrichPerHour int
param tasksAlsoAsComment bool
param pollSeconds int
param historyDays int
param auditDays int
param analystRequestsPerMinute int
param tenantRequestsPerMinute int
param analystTokensPerDay int
param tenantTokensPerDay int
param kqlCheckers int
param writeAs string
param oauthConnection string
param telemetryConnection string
param otlpEndpoint string
param botOpenidMetadata string
param logAnalyticsEndpoint string
param tokenService string

var port = 3978

var settings = [
  { name: 'PORT', value: string(port) }
  { name: 'BOT_APP_ID', value: appId }
  { name: 'BOT_APP_TYPE', value: appType }
  { name: 'BOT_TENANT_ID', value: subscription().tenantId }
  { name: 'ENTRA_AUTHORITY', value: environment().authentication.loginEndpoint }
  { name: 'ALLOWED_TENANT_IDS', value: allowedTenantIds }
  { name: 'SOC_TEAM_ID', value: socTeamId }
  { name: 'AZURE_OPENAI_BASE_URL', value: modelBaseUrl }
  { name: 'AZURE_OPENAI_MODEL', value: modelName }
  { name: 'MODEL_PRICES', value: modelPrices }
  { name: 'SENTINEL_SUBSCRIPTION_ID', value: sentinelSubscriptionId }
  { name: 'SENTINEL_RESOURCE_GROUP', value: sentinelResourceGroup }
  { name: 'SENTINEL_WORKSPACE', value: sentinelWorkspace }
  { name: 'SENTINEL_WORKSPACE_ID', value: sentinelWorkspaceId }
  { name: 'SENTINEL_WORKSPACES', value: empty(sentinelWorkspaces) ? '' : string(sentinelWorkspaces) }
  { name: 'ARM_ENDPOINT', value: environment().resourceManager }
  { name: 'STORE_URL', value: storeUrl }
  { name: 'COSMOS_DATABASE', value: cosmosDatabase }
  { name: 'INCIDENT_WEBHOOK_AUDIENCE', value: webhookAudience }
  { name: 'INCIDENT_WEBHOOK_CALLERS', value: webhookCallers }
  { name: 'POLL_SECONDS', value: string(pollSeconds) }
  { name: 'ENRICH', value: enrich }
  { name: 'ENRICH_PER_HOUR', value: string(enrichPerHour) }
  { name: 'TASKS_ALSO_AS_COMMENT', value: string(tasksAlsoAsComment) }
  { name: 'WRITE_AS', value: writeAs }
  { name: 'OAUTH_CONNECTION', value: oauthConnection }
  { name: 'HISTORY_DAYS', value: string(historyDays) }
  { name: 'AUDIT_DAYS', value: string(auditDays) }
  { name: 'ANALYST_REQUESTS_PER_MINUTE', value: string(analystRequestsPerMinute) }
  { name: 'TENANT_REQUESTS_PER_MINUTE', value: string(tenantRequestsPerMinute) }
  { name: 'ANALYST_TOKENS_PER_DAY', value: string(analystTokensPerDay) }
  { name: 'TENANT_TOKENS_PER_DAY', value: string(tenantTokensPerDay) }
  { name: 'KQL_CHECKERS', value: string(kqlCheckers) }
  { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: telemetryConnection }
  { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: otlpEndpoint }
  { name: 'BOT_OPENID_METADATA', value: botOpenidMetadata }
  { name: 'LOG_ANALYTICS_ENDPOINT', value: logAnalyticsEndpoint }
  { name: 'TOKEN_SERVICE', value: tokenService }
]
var secretSettings = empty(secretUrl) ? [] : [
  { name: 'BOT_APP_PASSWORD', secretRef: 'bot-app-password' }
]

resource app 'Microsoft.App/containerApps@2025-07-01' = {
  name: 'ca-${name}'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    environmentId: environmentId
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: {
        external: true
        targetPort: port
        transport: 'http'
        allowInsecure: false
      }
      registries: [
        { server: registryServer, identity: identityId }
      ]
      secrets: empty(secretUrl) ? [] : [
        { name: 'bot-app-password', keyVaultUrl: secretUrl, identity: identityId }
      ]
    }
    template: {
      // The bot finishes or hands back what it does within 12 s.
      terminationGracePeriodSeconds: 30
      containers: [
        {
          name: 'bot'
          image: image
          // The KQL checker takes about 250 MB for each query that is checked at a time.
          resources: { cpu: json('1.0'), memory: '2Gi' }
          // What is empty is left to the bot's own default.
          env: concat(filter(settings, each => !empty(each.value)), secretSettings)
          probes: [
            {
              type: 'Startup'
              httpGet: { path: '/healthz', port: port }
              periodSeconds: 3
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: { path: '/healthz', port: port }
              periodSeconds: 15
              timeoutSeconds: 5
            }
            {
              // Not ready only while the store is down; it asks each service for up to 5 s.
              type: 'Readiness'
              httpGet: { path: '/readyz', port: port }
              periodSeconds: 15
              timeoutSeconds: 7
            }
          ]
        }
      ]
      scale: {
        // One at least: it looks after incidents also when nobody speaks.
        minReplicas: 1
        maxReplicas: 4
        rules: [
          { name: 'requests', http: { metadata: { concurrentRequests: '20' } } }
        ]
      }
    }
  }
}
