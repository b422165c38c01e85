# Sourced by scripts/demo and scripts/test, in the checkout: .venv with the package in it, installed again only when
# what is to be installed has changed.

# The first Python on the PATH that is new enough and can make virtual environments.
find_python() {
    for name in python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return 0
        fi
    done
    echo "dediag needs Python 3.11 or newer with its venv module, and none was found on the PATH" \
        "(on Debian and Ubuntu: apt install python3-venv)." >&2
    return 1
}

# install KIND PIP_ARGUMENTS...: KIND "test" (editable, with the test tools) also serves "plain"; "plain" is a copy of
# the package and is made again whenever a file of the package is newer than it.
install() {
    kind=$1
    shift
    if ! .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$(find_python)
        "$python" -m venv --clear .venv
    fi
    current="$(cksum pyproject.toml) $PWD" # a moved .venv still names its old place
    if [ -f .venv/dediag-test ] && [ "$(cat .venv/dediag-test)" = "$current" ]; then
        return 0
    fi
    if [ "$kind" = plain ] && [ -f .venv/dediag-plain ] && [ "$(cat .venv/dediag-plain)" = "$current" ] &&
        [ -z "$(find dediag README.md LICENSE -newer .venv/dediag-plain ! -path '*/__pycache__*' | head -n 1)" ]; then
        return 0
    fi
    echo "Installing dediag into .venv (the first time takes a minute or two) ..." >&2
    rm -f .venv/dediag-plain .venv/dediag-test
    printf '%s\n' "$current" >.venv/dediag-started # written first: a file that changes while pip runs is newer
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
    mv .venv/dediag-started ".venv/dediag-$kind"
}
