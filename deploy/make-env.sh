#!/bin/sh
# Copies .env.example to .env, next to docker-compose.yml, and replaces each empty password with a random one. Only the
# owner can read the file. An existing .env is not changed, because the database was created with its passwords.
set -eu
umask 077
cd "$(dirname "$0")/.."

if [ -e .env ] || [ -L .env ]; then
  echo ".env already exists and was not changed" >&2
  exit 1
fi
unfinished=$(mktemp .env.XXXXXX)
trap 'rm -f "$unfinished"' EXIT
while IFS= read -r line; do
  case $line in
    *_PASSWORD=) line=$line$(od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n') ;;
  esac
  printf '%s\n' "$line"
done <.env.example >"$unfinished"
mv "$unfinished" .env
echo ".env was created with new passwords; next: docker compose up --detach --build --wait" >&2
