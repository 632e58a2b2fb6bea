"""The Teams edge: the only folder that knows botbuilder."""
