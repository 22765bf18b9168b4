"""ReportGen: one HTML page that tells all about a run."""
