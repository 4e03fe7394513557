"""MetricWidget JSON to a picture: GetMetricWidgetImage. See docs/design/metrics.md."""
