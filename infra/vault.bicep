// The one secret there can be, the bot's client secret; with a managed identity there is none.
param name string
param location string
param readerPrincipalId string

@secure()
param botAppPassword string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  // 24 characters at most
  name: 'kv-${name}-${take(uniqueString(resourceGroup().id), 8)}'
  location: location
  properties: {
    tenantId: subscription().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: true
  }
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(botAppPassword)) {
  parent: vault
  name: 'bot-app-password'
  properties: { value: botAppPassword }
}

// Key Vault Secrets User: the container's start reads this secret; it changes none.
resource reads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, readerPrincipalId, 'secrets-user')
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')
    principalId: readerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

output botAppPasswordUrl string = '${vault.properties.vaultUri}secrets/bot-app-password'
