"""The words: what a schema, a run, a plan, an event, a measurement and a guarantee are. Nothing but pydantic."""
