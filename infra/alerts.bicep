// What should wake somebody, and the charts they then look at. Metrics come by the bot's own
// OpenTelemetry: one value a minute from each replica, of one store that all of them share.
param name string
param location string
param workspaceId string
param actionGroupId string

var actions = empty(actionGroupId) ? {} : { actionGroups: [actionGroupId] }

// An analyst waits longer than two minutes: every replica is stuck, or the store is.
resource oldest 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${name}-oldest-claim'
  location: location
  properties: {
    displayName: '${name}: an analyst waits for an answer'
    severity: 1
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    criteria: {
      allOf: [
        {
          query: 'AppMetrics | where Name == "casemate.claims.oldest_age" | summarize age = max(Max) by bin(TimeGenerated, 1m) | where age > 120'
          timeAggregation: 'Count'
          operator: 'GreaterThanOrEqual'
          threshold: 2
        }
      ]
    }
    autoMitigate: true
    actions: actions
  }
}

// A fifth of at least five turns failed: a service is down, or something here is broken.
resource failures 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${name}-failed-turns'
  location: location
  properties: {
    displayName: '${name}: turns fail'
    severity: 1
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      allOf: [
        {
          query: 'AppMetrics | where Name == "casemate.turn.duration" | extend failed = tostring(Properties["outcome"]) in ("failed", "timeout") | summarize bad = sumif(ItemCount, failed), turns = sum(ItemCount) | where turns >= 5 and bad * 5 >= turns'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    autoMitigate: true
    actions: actions
  }
}

// Nothing was told for a quarter of an hour, or incidents waited all that time to be announced.
resource silence 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${name}-silent'
  location: location
  properties: {
    displayName: '${name}: nothing is heard of the bot, or its outbox is stuck'
    severity: 1
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      allOf: [
        {
          query: 'AppMetrics | where Name == "casemate.outbox.depth" | summarize told = count(), least = min(Min) | where told == 0 or least > 0'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    autoMitigate: true
    actions: actions
  }
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'casemate-workbook')
  location: location
  kind: 'shared'
  properties: {
    displayName: 'Casemate'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: replace(loadTextContent('workbook.json'), 'WORKSPACE_ID', workspaceId)
  }
}
