# Sourced by run.sh and test.sh: what is installed, and how the tree is built.

BUILD_PACKAGES=(build-essential cmake ninja-build pkg-config python3 libdpdk-dev liburing-dev
    libisal-dev libuv1-dev liblz4-dev libzstd-dev libsnappy-dev libinih-dev librdkafka-dev
    libjansson-dev libmicrohttpd-dev)
# Go, Java, Maven, Node and Python are used as they are where they are there and new enough.
TEST_PACKAGES=(clang clang-format libclang-rt-14-dev kcat curl golang-go default-jdk-headless maven
    python3-venv npm iproute2 ethtool iputils-ping procps e2fsprogs xz-utils)

# The Sarama test needs a Go that can fetch the newer one which its go.mod names: 1.21 or later.
go_is_new_enough() {
    local version
    version=$(go env GOVERSION 2>/dev/null) &&
        printf 'go1.21\n%s\n' "$version" | sort --check=quiet --version-sort
}

# Debian 12 has such a Go in its backports only.
add_go_source() {
    local candidate
    candidate=$(apt-cache policy golang-go | sed -n 's/^ *Candidate: [0-9]*:\([0-9.]*\).*/\1/p')
    if printf '1.21\n%s\n' "$candidate" | sort --check=quiet --version-sort; then
        return
    fi
    echo 'deb http://deb.debian.org/debian bookworm-backports main' \
        >/etc/apt/sources.list.d/millrace-backports.list
    printf 'Package: golang*\nPin: release n=bookworm-backports\nPin-Priority: 990\n' \
        >/etc/apt/preferences.d/millrace-golang
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
}

# Installs the packages that are missing. As an ordinary user it says what is missing instead.
install_packages() {
    local missing=() package
    for package in "$@"; do
        case "$package" in
        golang-go)
            go_is_new_enough && continue
            missing+=(golang-go) # also where an older one is installed
            continue
            ;;
        default-jdk-headless) command -v javac >/dev/null && continue ;;
        maven) command -v mvn >/dev/null && continue ;;
        npm) command -v npm >/dev/null && continue ;;
        python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null && continue ;;
        esac
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "missing packages; install them as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
    case " ${missing[*]} " in
    *' golang-go '*) add_go_source ;;
    esac
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >&2
}

# build_in FOLDER [CMAKE ARGUMENTS...]
build_in() {
    local folder=$1
    shift
    cmake -S . -B "$folder" -G Ninja "$@" >&2
    ninja -C "$folder" >&2
}
