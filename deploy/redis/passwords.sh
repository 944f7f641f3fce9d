# For start.sh and sentinel.sh: puts the SHA-256 of passwords into a file of users.
run=${DARKROOM_RUN:-/tmp}
data=${DARKROOM_DATA:-/data}

refuse() {
    echo "darkroom: $1 is $2: set it in .env to the output of \`openssl rand -hex 32\`, or run \`make env\`." >&2
    exit 2
}

# by printf, which is the shell's own: no password is an argument of a process
digest() { printf %s "$1" | sha256sum | cut -c 1-64; }

without_comments() { sed '/^#/d; /^$/d' "$1"; }

# the users $1, with the digest of the password of role $2 for @role@
with_digest() {
    name=DARKROOM_REDIS_$(printf %s "$2" | tr a-z A-Z)_PASSWORD
    eval "password=\${$name:-}"
    [ -n "$password" ] || refuse "$name" "not set"
    case $password in *[!A-Za-z0-9]*) refuse "$name" "not only letters and digits" ;; esac
    [ ${#password} -ge 32 ] || refuse "$name" "shorter than 32 characters"
    printf '%s\n' "$1" | sed "s/@$2@/$(digest "$password")/"
}

# the users $1, with a password for the health check, made now; alive.sh reads it, and it is worth one PING
with_health() {
    od -An -N 32 -tx1 /dev/urandom | tr -d ' \n' >"$run/health"
    printf '%s\n' "$1" | sed "s/@health@/$(digest "$(cat "$run/health")")/"
}

# the file $1 without the lines that match any of the others
keep_but() {
    file=$1
    shift
    for pattern in "$@"; do
        { grep -v "$pattern" "$file" || true; } >"$file.new"
        mv "$file.new" "$file"
    done
}
