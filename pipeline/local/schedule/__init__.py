"""Retraining at fixed times on this machine, by systemd or by cron.

A schedule is a folder: `definition` says what is in it, and `runner` what happens at a
tick. `systemd_timer` and `crontab` have it started, and `manage` puts these together.
"""
