"""Alarms: metric alarms, composite alarms, their history and their actions. See docs/design/alarms.md."""
