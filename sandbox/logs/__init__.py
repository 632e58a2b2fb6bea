"""The sandbox's logs as data: YAML that tells the incidents' stories among ordinary days."""
