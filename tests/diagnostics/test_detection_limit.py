"""detection_limit: limits, tags and verdicts on simulated cohorts; spike-ins and qPCR of a real one."""
