"""Checks KQL with Microsoft's own language service (`@kusto/language-service-next`) in V8."""
