"""Lineage records: artifacts, actions, contexts and the associations between them, made by users and by the platform itself."""
