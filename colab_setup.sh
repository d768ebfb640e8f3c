#!/usr/bin/env bash
# Set up the jigsaw course: the Caffe wheel, what it needs, Python packages; then check that all of it works.
#
#     bash colab_setup.sh                      # as often as you like: what is there is left alone
#     PYTHON=python3.12 bash colab_setup.sh    # with a Python of your choice, 3.10 to 3.14
#     JIGSAW_DEVICE=cpu bash colab_setup.sh    # or gpu: the Caffe to build; by itself it takes the GPU where there is one
#
# On Colab it uses Colab's own Python and changes the version of no package that is already there.
# On any other Debian or Ubuntu it makes the virtual environment .venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

say() { printf '==> %s\n' "$*"; }

fail() { # fail WHAT WAY_OUT
    printf '[FAIL] %s\nWhat to do: %s\n' "$1" "$2" >&2
    exit 1
}

apt_install() { # apt_install PACKAGE...
    local install="apt-get install -y --no-install-recommends $*" as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; }; then
        fail "System packages are missing, and there is no apt-get or no right to use it: $*" \
             "ask an administrator to run '$install', then run colab_setup.sh again."
    fi
    say "Installing system packages: $*"
    "${as_root[@]}" apt-get update -qq || say "apt-get update had a problem; trying to install all the same"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null ||
        fail "apt-get could not install: $*" "read its lines above, then run '${as_root[*]} $install' by hand."
}

on_colab() {
    [ -n "${COLAB_RELEASE_TAG:-}" ] || python3 -c 'import google.colab' 2>/dev/null
}

# The executable of $PYTHON, else of python3 where it is suitable, else of the newest suitable Python; else nothing.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python3.10}; do
        "$candidate" -c 'import sys; (3, 10) <= sys.version_info[:2] <= (3, 14) or sys.exit(1); print(sys.executable)' \
            2>/dev/null && return
    done
    true
}

# 1. Python.
python=$(find_python)
if [ -z "$python" ] && [ -z "${PYTHON:-}" ]; then
    apt_install python3
    python=$(find_python)
fi
[ -n "$python" ] || fail "${PYTHON:-python3} is not a Python from 3.10 to 3.14." \
                         "install one, or name one that you have: PYTHON=python3.12 bash colab_setup.sh"

# Settings of pip and paths that are meant for other programs stay out of what follows.
eval "$("$python" -E packaging/caffe/build_wheel.py --shield)"

# 2. The Caffe wheel from the cache, from Drive or from this repository's releases, the system's libraries and tools.
caffe_wheel() { # set `wheel` to the one that is found, or nothing, and `needed` to the packages that it, or a build, needs
    wheel=$("$python" packaging/caffe/build_wheel.py --find)
    needed=
    # A published one brings its libraries.
    [[ $wheel == *manylinux* ]] || needed=$("$python" packaging/caffe/build_wheel.py --missing)
}
caffe_wheel
on_colab || "$python" -c 'import ensurepip' 2>/dev/null ||
    needed+=" $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
command -v make >/dev/null || needed+=" make"
[ -z "${needed// /}" ] || apt_install $needed

# 3. The environment: Colab's own, or .venv.
if on_colab; then
    say "Colab: using $python and every package as it is"
else
    version() { "$1" -c 'import sys, pip; print(sys.version)' 2>/dev/null || true; }
    if [ "$(version .venv/bin/python)" != "$("$python" -c 'import sys; print(sys.version)')" ]; then
        say "Making .venv with $("$python" --version) ($python)"
        "$python" -m venv --clear .venv
    fi
    python=.venv/bin/python
fi

# 4. The Caffe wheel and the Python packages, unless this very set-up has been done in this environment.
install() { # install WHEEL: that wheel, and what pyproject.toml names; on Colab only what is not there yet
    local constraints extras=[local,test]
    constraints=$(mktemp)
    if on_colab; then
        extras=
        "$python" -m pip list --format=freeze | grep -vE '^(jigsaw-course|caffe-jigsaw)=' >"$constraints"
    fi
    # Its version never changes, so pip would keep an old build.
    "$python" -m pip uninstall -qq -y caffe-jigsaw
    "$python" -m pip install -qq -c "$constraints" -e ".$extras" "$1" ||
        fail "The Python packages could not be installed." "read pip's lines above; check the network and run this again."
    rm -f "$constraints"
}

stamp=$("$python" -c 'import sys; print(sys.prefix)')/share/jigsaw-course/setup
device=$("$python" packaging/caffe/build_wheel.py --device)
digest=$({ pwd; "$python" -VV; echo "$device"; cat pyproject.toml colab_setup.sh packaging/caffe/*.*; } | sha256sum)
if [ "$digest" != "$(cat "$stamp" 2>/dev/null)" ]; then
    nvidia=$("$python" packaging/caffe/build_wheel.py --nvidia)
    if [ -n "$nvidia" ]; then
        say "Installing what the CUDA toolkit lacks: $nvidia"
        "$python" -m pip install -qq $nvidia || say "pip could not install them; the CPU build will do"
    fi
    wheel=$("$python" packaging/caffe/build_wheel.py)
    say "Installing Python packages"
    install "$wheel"
fi

# 5. Does it work? A wheel for the GPU that does not is replaced by the CPU's. This check's exit status is the script's.
"$python" -m helpers.course
if ! "$python" -m helpers.training.device; then
    [ "$device" != cpu ] || exit 1
    say "Caffe for the GPU does not work here; installing the CPU build instead (JIGSAW_DEVICE=cpu asks for it at once)"
    export JIGSAW_DEVICE=cpu
    caffe_wheel
    [ -z "$needed" ] || apt_install $needed
    install "$("$python" packaging/caffe/build_wheel.py)"
    "$python" -m helpers.training.device
fi
mkdir -p "$(dirname "$stamp")"
echo "$digest" >"$stamp"

# 6. In a clone of somebody's own: do the badges open it? Nothing is written unasked.
on_colab || [ ! -e .git ] || "$python" scripts/badges.py --check || true
