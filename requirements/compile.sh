#!/usr/bin/env bash
# Writes the locks: exact versions with the hash of every published file, for all platforms and for Python 3.11 and newer.
# run.txt is what the product needs. Every other lock holds what its dependency group needs beyond the locks that the
# Makefile installs before it, so that make can add a group to an existing environment and no hash is listed twice.
# Locked versions stay, unless --upgrade or --upgrade-package NAME is given.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
upgrade=("$@")
locked=()

# compile GROUP [LOCK…]: the locks that are installed before this group
compile() {
  local group=$1 options=() lock name
  # one package has one version, in whichever locks it is
  for lock in "${locked[@]}"; do options+=(--constraint "requirements/$lock.txt"); done
  for lock in "${@:2}"; do
    # not those with a marker: what one lock has for some platforms only may be needed here for all
    while read -r name; do options+=(--no-emit-package "$name"); done < <(sed -nE 's/^([A-Za-z0-9._-]+)==[^;]*$/\1/p' "requirements/$lock.txt")
  done
  [ "$group" = run ] && options+=(--group build) || options+=(--group "$group")
  "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
    --custom-compile-command "make lock" --output-file "requirements/$group.txt" "${options[@]}" "${upgrade[@]}"
  locked+=("$group")
}

compile run
compile docs run
compile test run docs
compile browser run docs test
compile lint run docs test browser
compile bench run
compile lock run
