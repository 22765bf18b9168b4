"""The packages and data files of the distribution; all else is in pyproject.toml."""

from setuptools import find_packages, setup

PACKAGES = ["pipeline", "components", "trainer"]

setup(
    packages=find_packages(include=PACKAGES + [f"{name}.*" for name in PACKAGES]),
    package_data={
        "": ["*.pbtxt", "*.jinja", "py.typed"],
        "components.servability_check.serving_checks": ["*.c"],
        "pipeline.serving.demo": ["*.css", "script/*.js"],
        "pipeline.config": ["presets/*.yaml"],
        "pipeline.monitoring": ["alerts.yaml", "dashboard.json"],
    },
)
