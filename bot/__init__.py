"""The parts of Casemate; `app.py` puts them together."""
