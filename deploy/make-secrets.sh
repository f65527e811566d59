#!/bin/sh
# Makes the secret files that docker-compose.yml hands to the containers. What is there already stays as it is, so it can
# be run again at any time; a file that is to be renewed is removed first.
#
#   deploy/make-secrets.sh [--folder FOLDER] [--database-host HOST] [NAME-OR-ADDRESS-OF-THE-PROXY…]
#
# The proxy's certificate is self-signed, for localhost and the names given: put one that your clients trust in its place.
set -eu
umask 077

root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/deploy/secrets
owner_file=$root/.env
database_host=postgres
while [ $# -gt 0 ]; do
  case $1 in
    --folder) folder=$2 owner_file='' && shift 2 ;;
    --database-host) database_host=$2 && shift 2 ;;
    -*) echo "$0: unknown option $1; the first lines of this file say what there is" >&2 && exit 2 ;;
    *) break ;;
  esac
done

mkdir -p "$folder"
cd "$folder"
new=.new.$$
trap 'rm -f "$new" "$new.key"' EXIT

# keep FILE: puts $new in its place, unless somebody was faster.
keep() {
  if ln "$new" "$1" 2>/dev/null; then echo "made $folder/$1"; fi
  rm -f "$new"
}

# make FILE COMMAND…: the command's output becomes the file, whole or not at all.
make() {
  file=$1 && shift
  if [ -e "$file" ]; then echo "kept $folder/$file" && return; fi
  "$@" >"$new"
  keep "$file"
}

database_url() { echo "postgres://countersign:$(cat database_password)@$database_host:5432/countersign"; }

certificate() {
  names=DNS:localhost,IP:127.0.0.1
  for name in "$@"; do
    case $name in
      *:*) names=$names,IP:$name ;;
      *[!0-9.]*) names=$names,DNS:$name ;;
      *) names=$names,IP:$name ;;
    esac
  done
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=${1:-localhost}" \
    -addext "subjectAltName=$names" -keyout "$new.key" -out "$new" 2>/dev/null
}

make master_key openssl rand -hex 32
make database_password openssl rand -hex 24
make database_url database_url
make bootstrap_token openssl rand -hex 32

if [ -e proxy_key ] && [ -e proxy_certificate ]; then
  echo "kept $folder/proxy_key and proxy_certificate"
elif [ -e proxy_key ] || [ -e proxy_certificate ]; then
  echo "$0: of proxy_key and proxy_certificate in $folder only one is there: put the other one beside it, or remove it" >&2
  exit 1
else
  certificate "$@"
  ln "$new.key" proxy_key && keep proxy_certificate
fi

case $(cat database_url) in
  *"$(cat database_password)"*) ;;
  *) echo "note: database_url does not hold database_password, which is right only for another database" >&2 ;;
esac

# The containers run as whoever can read the files: never as root, and otherwise as the one who made them.
uid=$(id -u) gid=$(id -g)
if [ "$uid" = 0 ]; then
  uid=${RUN_AS_UID:-10001} gid=${RUN_AS_GID:-10001}
  chown "$uid:$gid" master_key database_url database_password bootstrap_token proxy_key proxy_certificate
fi
if [ -n "$owner_file" ] && ! grep -qs '^RUN_AS_UID=' "$owner_file"; then
  printf 'RUN_AS_UID=%s\nRUN_AS_GID=%s\n' "$uid" "$gid" >>"$owner_file"
  echo "wrote RUN_AS_UID and RUN_AS_GID to $owner_file"
fi
