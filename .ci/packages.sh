# Sourced by run.sh and test.sh: what is installed, and how the tree is built.

BUILD_PACKAGES=(build-essential cmake ninja-build pkg-config python3 libdpdk-dev liburing-dev
    libisal-dev libuv1-dev liblz4-dev libzstd-dev libsnappy-dev libinih-dev librdkafka-dev
    libjansson-dev)
# gzip of compat tests comes with the base system; Go and Java are used where they are new enough.
TEST_PACKAGES=(clang clang-format libclang-rt-14-dev kcat golang-go default-jdk-headless maven)

# Installs the packages that are missing. As an ordinary user it says what is missing instead.
install_packages() {
    local missing=() package
    for package in "$@"; do
        case "$package" in
        golang-go) command -v go >/dev/null && continue ;;
        default-jdk-headless) command -v javac >/dev/null && continue ;;
        maven) command -v mvn >/dev/null && continue ;;
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
