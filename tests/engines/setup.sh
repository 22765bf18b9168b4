#!/bin/bash
# Installs what the tests of real engines need into `.software` beside this file: Spark
# from PyPI and Beam's runner for it from Maven Central (450 MB). Needs Java 11 or 17 and
# Maven. Does nothing where that is done already.
set -euo pipefail
cd "$(dirname "$0")"
python=${1:?setup.sh PYTHON, as an absolute path}
spark=3.5.8
wanted=$(cat pom.xml setup.sh | sha256sum)
[ "$(cat .software/done 2>/dev/null)" = "$wanted" ] && exit 0
for program in java mvn; do
  command -v $program >/dev/null || {
    echo "$program is missing: install a JDK (11 or 17) and Maven." >&2
    exit 1
  }
done
rm -rf .software
mkdir .software
"$python" -m venv .software/spark
.software/spark/bin/python -m pip install -q --disable-pip-version-check --no-deps \
  "pyspark==$spark"
mvn -q -B -f pom.xml dependency:copy-dependencies -DincludeScope=runtime \
  -DoutputDirectory="$PWD/.software/jars"
echo "$wanted" >.software/done
