// What the bot and its playbook may do on the workspace of Microsoft Sentinel, and the rule that
// starts the playbook for each new incident.
param name string
param workspaceName string
param botPrincipalId string
param playbookId string
param playbookPrincipalId string

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

// Microsoft Sentinel Responder: reads incidents and the workspace's logs, and writes comments, tasks
// and an incident's own fields. It changes no rule, no connector and no data.
resource responds 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: workspace
  name: guid(workspace.id, botPrincipalId, 'sentinel-responder')
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '3e150937-b8fe-4cfb-8069-0eaf05ecd056')
    principalId: botPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Microsoft Sentinel Reader: the playbook's trigger reads the incident that it hands on.
resource reads 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(playbookId)) {
  scope: workspace
  name: guid(workspace.id, playbookPrincipalId, 'sentinel-reader')
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '8d289c81-5878-46d4-8554-54e1e3d8b5cb')
    principalId: playbookPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource rule 'Microsoft.SecurityInsights/automationRules@2024-03-01' = if (!empty(playbookId)) {
  scope: workspace
  name: guid(workspace.id, name, 'hand-to-bot')
  properties: {
    displayName: 'Hand new incidents to Casemate'
    order: 100
    triggeringLogic: {
      isEnabled: true
      triggersOn: 'Incidents'
      triggersWhen: 'Created'
      conditions: []
    }
    actions: [
      {
        order: 1
        actionType: 'RunPlaybook'
        actionConfiguration: {
          logicAppResourceId: playbookId
          tenantId: subscription().tenantId
        }
      }
    ]
  }
}
