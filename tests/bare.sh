# shellcheck shell=bash
# A bare Debian 12 for scripts that `source` this file:
#
#   bare_make     makes it once, as target/bare/bookworm.tar: Debian's smallest system, beside it, not installed, what the
#                 packages and images of gundb need, so that nothing has to be fetched later. GUNDB_MIRROR is where from.
#
# What always holds: only target/ is written to, and what setup.sh installs; whoever comes second waits for the first.
bare_tar=target/bare/bookworm.tar

bare_make() {
    mkdir -p target/bare
    (
        flock 9
        [[ ! -e $bare_tar ]] || exit 0
        tests/setup.sh deploy
        echo "making a bare Debian 12: $bare_tar"
        # shellcheck disable=SC2016 # it is mmdebstrap who fills in $1
        mmdebstrap --mode=root --variant=minbase --format=tar --quiet --skip=cleanup/apt --aptopt='Acquire::Languages "none"' \
            --customize-hook='echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/test"' \
            --customize-hook='chroot "$1" apt-get clean' \
            --customize-hook='chroot "$1" apt-get install --yes -qq --download-only --no-install-recommends \
                ca-certificates man-db postgresql-15 >/dev/null' \
            bookworm "$bare_tar.new" "${GUNDB_MIRROR:-http://deb.debian.org/debian}"
        mv "$bare_tar.new" "$bare_tar"
    ) 9>target/bare/lock
}
