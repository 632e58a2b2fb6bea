// The bot's registration, its Teams channel and, for an application of its own, the connection with
// which analysts sign in. What is signed in reaches Azure Resource Manager with the analyst's rights.
param name string
param appId string
param managedIdentityId string
param endpoint string

@secure()
param clientSecret string

var managed = !empty(managedIdentityId)
var connectionName = 'sentinel'

resource bot 'Microsoft.BotService/botServices@2022-09-15' = {
  name: 'bot-${name}'
  location: 'global'
  kind: 'azurebot'
  sku: { name: 'F0' }
  properties: {
    displayName: 'Casemate'
    endpoint: endpoint
    msaAppId: appId
    msaAppTenantId: subscription().tenantId
    msaAppType: managed ? 'UserAssignedMSI' : 'SingleTenant'
    msaAppMSIResourceId: managed ? managedIdentityId : null
  }
}

resource teams 'Microsoft.BotService/botServices/channels@2022-09-15' = {
  parent: bot
  name: 'MsTeamsChannel'
  location: 'global'
  properties: {
    channelName: 'MsTeamsChannel'
    properties: { isEnabled: true }
  }
}

resource connection 'Microsoft.BotService/botServices/connections@2022-09-15' = if (!managed) {
  parent: bot
  name: connectionName
  location: 'global'
  properties: {
    // Azure Active Directory v2
    serviceProviderId: '30dd229c-58e3-4a48-bdfd-91ec48eb906c'
    clientId: appId
    clientSecret: clientSecret
    scopes: '${environment().resourceManager}user_impersonation offline_access'
    parameters: [
      { key: 'tenantID', value: subscription().tenantId }
      { key: 'tokenExchangeUrl', value: 'api://botid-${appId}' }
    ]
  }
}

output oauthConnection string = managed ? '' : connectionName
