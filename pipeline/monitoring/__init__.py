"""Monitoring: metrics of retrainings for Prometheus, with alerts and a dashboard."""
