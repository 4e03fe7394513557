"""CloudWatch Logs Insights: its query language, and the queries that run in it."""
