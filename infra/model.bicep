// The model, and a content filter for people whose work is about attacks: malware, threats and abuse
// are what incidents quote, so only the gravest level blocks. Attacks on the model itself are marked
// and not blocked: a phishing mail that addresses an assistant is evidence, and the bot treats it so.
param name string
param location string
param principalId string
param modelName string
param modelVersion string
param sku string
param capacity int

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' = {
  name: 'oai-${name}-${uniqueString(resourceGroup().id)}'
  location: location
  kind: 'OpenAI'
  sku: { name: 'S0' }
  properties: {
    customSubDomainName: 'oai-${name}-${uniqueString(resourceGroup().id)}'
    disableLocalAuth: true
    publicNetworkAccess: 'Enabled'
  }
}

resource policy 'Microsoft.CognitiveServices/accounts/raiPolicies@2025-06-01' = {
  parent: account
  name: 'security-text'
  properties: {
    basePolicyName: 'Microsoft.DefaultV2'
    mode: 'Default'
    contentFilters: [
      { name: 'Hate', source: 'Prompt', enabled: true, blocking: true, severityThreshold: 'High' }
      { name: 'Hate', source: 'Completion', enabled: true, blocking: true, severityThreshold: 'High' }
      { name: 'Sexual', source: 'Prompt', enabled: true, blocking: true, severityThreshold: 'High' }
      { name: 'Sexual', source: 'Completion', enabled: true, blocking: true, severityThreshold: 'High' }
      { name: 'Violence', source: 'Prompt', enabled: true, blocking: true, severityThreshold: 'High' }
      { name: 'Violence', source: 'Completion', enabled: true, blocking: true, severityThreshold: 'High' }
      { name: 'Selfharm', source: 'Prompt', enabled: true, blocking: true, severityThreshold: 'High' }
      { name: 'Selfharm', source: 'Completion', enabled: true, blocking: true, severityThreshold: 'High' }
      { name: 'Jailbreak', source: 'Prompt', enabled: true, blocking: false }
      { name: 'Indirect Attack', source: 'Prompt', enabled: true, blocking: false }
      { name: 'Protected Material Text', source: 'Completion', enabled: true, blocking: false }
      { name: 'Protected Material Code', source: 'Completion', enabled: true, blocking: false }
    ]
  }
}

resource deployment 'Microsoft.CognitiveServices/accounts/deployments@2025-06-01' = {
  parent: account
  name: modelName
  sku: { name: sku, capacity: capacity }
  properties: {
    model: { format: 'OpenAI', name: modelName, version: modelVersion }
    raiPolicyName: policy.name
    // A model changes when its operator has measured the next one.
    versionUpgradeOption: 'OnceCurrentVersionExpired'
  }
}

// Cognitive Services OpenAI User: asks the deployment; it cannot make or change one.
resource asks 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: account
  name: guid(account.id, principalId, 'openai-user')
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd')
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output baseUrl string = '${account.properties.endpoint}openai/v1/'
