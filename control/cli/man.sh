#!/usr/bin/env bash
# Writes millrace.1 and millraced.1 into a folder.
# Usage: man.sh MILLRACE MILLRACED FOLDER
set -euo pipefail

"$1" man >"$3/millrace.1"
{
    printf '.TH MILLRACED 1\n.SH NAME\nmillraced \\- a message broker that speaks the Kafka protocol\n'
    printf '.SH DESCRIPTION\n.nf\n'
    "$2" --help | sed -e 's/\\/\\\\/g' -e 's/-/\\-/g' -e "s/^[.']/\\\\\&&/"
    printf '.fi\n.SH SEE ALSO\n.BR millrace (1)\n'
} >"$3/millraced.1"
