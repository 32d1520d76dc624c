"""What pyproject.toml cannot say: the folders of files at the top go into the package that reads them."""

from setuptools import find_packages, setup

FILES = {
    "app.templates": ("templates", ["**/*"]),
    "app.static": ("static", ["**/*"]),
    "app.config": ("config", ["app.toml", "production.toml", "bitlm.service"]),
    "bitlm.config": ("config", ["presets.toml"]),
}
"""By where they are once installed: the folder here, and what of it."""

setup(
    packages=[*find_packages(include=["app", "app.*", "bitlm", "bitlm.*"]), *FILES],
    package_dir={package: folder for package, (folder, _) in FILES.items()},
    package_data={"bitlm": ["**/*.css", "**/*.html", "**/*.js", "**/*.txt"]}
    | {package: patterns for package, (_, patterns) in FILES.items()},
)
