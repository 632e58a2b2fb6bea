// The playbook that hands a new incident to the bot: Sentinel starts it, and it signs its one request
// with its own identity. Without it the bot asks Sentinel every minute.
param name string
param location string
param webhookUrl string
param webhookAudience string
param securityInsightsPrincipalId string

resource connection 'Microsoft.Web/connections@2016-06-01' = {
  name: 'azuresentinel-${name}'
  location: location
  // The published types know neither this nor the line below it; the service needs both for a
  // connection that uses the playbook's own identity.
  #disable-next-line BCP187
  kind: 'V1'
  properties: {
    displayName: 'azuresentinel-${name}'
    #disable-next-line BCP037 BCP089
    parameterValueType: 'Alternative'
    api: {
      id: subscriptionResourceId('Microsoft.Web/locations/managedApis', location, 'azuresentinel')
    }
  }
}

resource playbook 'Microsoft.Logic/workflows@2019-05-01' = {
  name: 'logic-${name}'
  location: location
  identity: { type: 'SystemAssigned' }
  properties: {
    state: 'Enabled'
    definition: loadJsonContent('forward.json')
    parameters: {
      webhookUrl: { value: webhookUrl }
      webhookAudience: { value: webhookAudience }
      '$connections': {
        value: {
          azuresentinel: {
            connectionId: connection.id
            connectionName: connection.name
            id: subscriptionResourceId('Microsoft.Web/locations/managedApis', location, 'azuresentinel')
            connectionProperties: {
              authentication: { type: 'ManagedServiceIdentity' }
            }
          }
        }
      }
    }
  }
}

// Microsoft Sentinel Automation Contributor, for Sentinel itself: its rule starts this playbook. The
// service accepts the role on a resource group, so nothing but what is ours lies in this one.
resource starts 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, securityInsightsPrincipalId, 'automation-contributor')
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'f4c81013-99ee-4d62-a7ee-b3f1f648599a')
    principalId: securityInsightsPrincipalId
    principalType: 'ServicePrincipal'
  }
}

output playbookId string = playbook.id
output principalId string = playbook.identity.principalId
